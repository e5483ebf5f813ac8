"""What the verifier says about one program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from bpfheap.errors import ProgramError, Unsupported
from bpfheap.platform.calls import MAX_CPUS
from bpfheap.verifier.facts import Facts
from bpfheap.verifier.flows import Flow

if TYPE_CHECKING:
    from bpfheap.verifier.state.state import State


@dataclass(frozen=True, slots=True)
class Options:
    """How to verify.

    `complexity_limit`: the kernel's BPF_COMPLEXITY_LIMIT_INSNS.
    `log`: shall the verdict have a log?
    `cpus`: as many as there can be where the program will run.
    `explain`: shall a refused program's error tell how it came about? Without, it has its message
    and place alone, which takes a fraction of the time.
    `log_level`: the kernel's: 1 for the way to a rejection, 2 for all paths.
    `strict_identity`: are types of different BTF always different ones?
    `facts`: shall the verdict on an accepted program have what a compiler wants to know?
    `all_precise`: does every scalar count where paths meet, so that the states seen subsume
    whatever can happen? For tests of the verifier itself.
    `stored_often`: is a state stored wherever paths may meet, as with BPF_F_TEST_STATE_FREQ? Short
    programs are pruned so, too. For tests.
    `as_linux`: does a path that ended in the loop of a callback learn nothing of what turns out to
    matter there later, as in Linux? That is one of its holes. To tell why verdicts differ.
    `pruned`: may a path end where a stored state subsumes it? Without, every path is walked to its
    end, but for loops that the kernel drives, which are unrolled a few times. For tests, too.
    `forbidden`: helpers and kfuncs, by name, that the kernel which is meant has not, because of its
    configuration or because it is locked down.
    `observe`: called before each instruction, with its slot and the state, which the walk will go
    on to change.
    """

    complexity_limit: int = 1_000_000
    log: bool = False
    explain: bool = True
    cpus: int = MAX_CPUS
    log_level: int = 2
    strict_identity: bool = False
    facts: bool = False
    all_precise: bool = False
    stored_often: bool = False
    as_linux: bool = False
    pruned: bool = True
    forbidden: frozenset[str] = frozenset()
    observe: Callable[[int, State], None] | None = field(default=None, compare=False)


class VerdictKind(StrEnum):
    """What there is to say about a program."""

    ACCEPT = "accept"
    REJECT = "reject"  # Linux would refuse it
    UNSUPPORTED = "unsupported"  # it needs what bpfheap does not know


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the verifier says about one program.

    `program`: its name.
    `insns_processed`: counted as the kernel's "processed N insns".
    `states`: how many were stored for pruning over the whole walk.
    `flows`: in the order in which the walk first met them; a rejected program, not all of whose
    paths were walked, has none.
    `error`: why it was not accepted: a VerifierError, or Unsupported. None for an accepted program.
    `log`: "" unless asked for or rejected.
    `facts`: what a compiler wants to know, if it was asked for; None for a rejected program.
    `cut`: did paths end because a loop was unrolled often enough (see Options.pruned)?
    `guessed`: the kfuncs that were taken by their prototypes, as nothing here tells how the kernel
    registers them. An accepted program is one with the strictest of flags; a rejected one is
    refused with any.
    """

    program: str
    insns_processed: int
    states: int
    flows: tuple[Flow, ...]
    error: ProgramError | None = None
    log: str = field(default="", repr=False)
    facts: Facts | None = field(default=None, repr=False, compare=False)
    cut: bool = False
    guessed: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What users should know of how it came about, a line each."""
        if not self.guessed or self.kind is VerdictKind.UNSUPPORTED:
            return ()
        accepted = "with the strictest flags; the kernel may refuse it to programs of this type"
        flags = accepted if self.error is None else "and no flags would help"
        return tuple(
            f"kfunc {name} is not known here, and was taken by its prototype, {flags}"
            for name in self.guessed
        )

    @property
    def accepted(self) -> bool:
        return self.error is None

    @property
    def kind(self) -> VerdictKind:
        if self.error is None:
            return VerdictKind.ACCEPT
        unsupported = isinstance(self.error, Unsupported)
        return VerdictKind.UNSUPPORTED if unsupported else VerdictKind.REJECT

    @property
    def missing(self) -> tuple[str, ...]:
        """All that an unsupported program names and bpfheap does not know; see Unsupported."""
        return self.error.missing if isinstance(self.error, Unsupported) else ()
