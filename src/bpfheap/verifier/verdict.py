"""What the verifier says about one program."""

from __future__ import annotations

from dataclasses import dataclass, field

from bpfheap.errors import VerifierError
from bpfheap.verifier.flows import Flow


@dataclass(frozen=True, slots=True)
class Options:
    """How to verify. `complexity_limit` is the kernel's BPF_COMPLEXITY_LIMIT_INSNS."""

    complexity_limit: int = 1_000_000
    log: bool = False
    strict_identity: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """`insns_processed` counts as the kernel's "processed N insns"; `states` are those stored for
    pruning over the whole walk; `error` is None for an accepted program; `log` is "" unless asked
    for or rejected. `flows` are in the order in which the walk first met them; a rejected program,
    not all of whose paths were walked, has none."""

    program: str
    insns_processed: int
    states: int
    flows: tuple[Flow, ...]
    error: VerifierError | None = None
    log: str = field(default="", repr=False)

    @property
    def accepted(self) -> bool:
        return self.error is None
