"""What the verifier says about one program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpfheap.errors import VerifierError
from bpfheap.platform.calls import MAX_CPUS
from bpfheap.verifier.facts import Facts
from bpfheap.verifier.flows import Flow

if TYPE_CHECKING:
    from bpfheap.verifier.state.state import State


@dataclass(frozen=True, slots=True)
class Options:
    """How to verify. `complexity_limit` is the kernel's BPF_COMPLEXITY_LIMIT_INSNS; `cpus` are as
    many as there can be where the program will run. With `log`, the verdict has a log; `log_level`
    is the kernel's: 1 for the way to a rejection, 2 for all paths. With `facts`, the verdict on an
    accepted program has what a compiler wants to know.

    For tests of the verifier itself: with `all_precise`, every scalar counts where paths meet, so
    that the states seen cover whatever can happen; `observe` is called with the slot and the
    state (which the walk will go on to change) before each instruction.
    """

    complexity_limit: int = 1_000_000
    log: bool = False
    cpus: int = MAX_CPUS
    log_level: int = 2
    strict_identity: bool = False
    facts: bool = False
    all_precise: bool = False
    observe: Callable[[int, State], None] | None = field(default=None, compare=False)


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
    facts: Facts | None = field(default=None, repr=False, compare=False)

    @property
    def accepted(self) -> bool:
        return self.error is None
