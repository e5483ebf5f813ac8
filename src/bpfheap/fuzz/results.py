"""The outcome of one random program, and the protocol of those who examine programs."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from bpfheap.fuzz.pieces import RandomProgram
from bpfheap.verifier import Verdict, VerdictKind

#: Instructions processed after which bpfheap's verifier gives a random program up: a longer
#: verification costs more time than it finds bugs.
LIMIT: Final = 50_000


class Outcome(StrEnum):
    """What came of one program; `BUGS` are those that are a bug of bpfheap."""

    ACCEPTED = "accepted"  # by both; with a machine: and every run was fine
    REFUSED = "refused"  # by both; with a machine: so it never ran
    TOO_LONG = "too-long"  # accepted by both, but by ours only after LIMIT
    UNSUPPORTED = "unsupported"  # bpfheap does not know something that the program names
    UNASKED = "unasked"  # the kernel gave no verdict, e.g. for lack of memory
    INCOMPARABLE = "incomparable"  # results depend on clocks, addresses or the order of keys
    EXPLAINED = "explained"  # a known difference, see `differences.py`
    UNROLLED = "unrolled"  # accepted, and right as far as loops were unrolled without pruning
    UNDECIDED = "undecided"  # accepted, and right as far as was walked without pruning
    PRUNED = "pruned"  # accepted only because paths end early: refused without pruning
    CRASH = "crash"  # an exception inside bpfheap
    KERNEL_REFUSES = "kernel-refuses"  # bpfheap accepts, the kernel does not
    OURS_REFUSES = "ours-refuses"  # the kernel accepts, bpfheap does not
    VIOLATION = "violation"  # accepted, then the model machine saw a memory error
    DIFFERENT = "different"  # accepted, then machines did different things
    OUTSIDE = "outside"  # accepted, then a register held a value that was ruled out


#: What is a bug, worst first.
BUGS: Final = (
    Outcome.KERNEL_REFUSES,
    Outcome.VIOLATION,
    Outcome.PRUNED,
    Outcome.DIFFERENT,
    Outcome.OUTSIDE,
    Outcome.CRASH,
    Outcome.OURS_REFUSES,
)


@dataclass(frozen=True, slots=True)
class FuzzResult:
    """What an Examiner says of one program."""

    outcome: Outcome
    #: Why bpfheap's verifier rejects the program, "" if it does not.
    ours: str = ""
    #: What the other side (kernel or machine) says against it, "" if nothing.
    theirs: str = ""
    #: The section of docs/verifier-differences.md that explains a known difference.
    section: str | None = None

    @property
    def cause(self) -> tuple[Outcome, str]:
        """Programs with the same cause probably show the same bug."""
        return self.outcome, _gist(self.ours or self.theirs)


def not_accepted(verdict: Verdict) -> FuzzResult:
    """For a program that bpfheap's verifier does not accept, so that nothing runs it."""
    unsupported = verdict.kind is VerdictKind.UNSUPPORTED
    message = "" if verdict.error is None else verdict.error.message
    return FuzzResult(Outcome.UNSUPPORTED if unsupported else Outcome.REFUSED, message)


def crashed(error: Exception) -> FuzzResult:
    """For an exception that no examination expects: a bug of bpfheap, which was raised there."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, in {frames[-1].name})" if frames else ""
    return FuzzResult(Outcome.CRASH, f"{type(error).__name__}: {error}{place}")


def _gist(message: str) -> str:
    """The beginning of a message, with all numbers replaced."""
    return re.sub(r"-?(0x[0-9a-f]+|\d+)", "N", message)[:60]


#: Makes the program with an index, of a seed, out of features.
Made: TypeAlias = Callable[[int, int, frozenset[str]], RandomProgram]


class Examiner(Protocol):
    """Generates programs and judges them; deterministic."""

    def program(self, index: int) -> RandomProgram:
        """The program with that index."""
        ...

    def examine(self, program: RandomProgram, index: int) -> FuzzResult:
        """Judge a program: the one with that index, or a reduced form of it."""
        ...
