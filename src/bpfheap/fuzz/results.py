"""What became of random programs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from bpfheap.fuzz.pieces import Program


class Outcome(StrEnum):
    """What became of one program."""

    ACCEPTED = "accepted"  # by both; with the model machine: and it ran without a complaint
    REFUSED = "refused"  # by both; with the model machine: and so it never ran
    TOO_LONG = "too-long"  # the walk was given up, and the kernel's would be about as long
    UNASKED = "unasked"  # the kernel gave no verdict, for want of memory say
    INCOMPARABLE = "incomparable"  # what it does hangs on clocks, addresses or the order of keys
    EXPLAINED = "explained"  # they differ, and the table of differences says why
    CRASH = "crash"  # an exception of ours
    KERNEL_REFUSES = "kernel-refuses"  # and ours accepts
    OURS_REFUSES = "ours-refuses"  # and the kernel accepts
    VIOLATION = "violation"  # accepted, and then the model machine saw an error
    DIFFERENT = "different"  # accepted, and then machines did not do the same
    OUTSIDE = "outside"  # a register held what the verifier had ruled out


#: What is a bug, worst first.
BUGS: Final = (
    Outcome.KERNEL_REFUSES,
    Outcome.VIOLATION,
    Outcome.DIFFERENT,
    Outcome.OUTSIDE,
    Outcome.CRASH,
    Outcome.OURS_REFUSES,
)


@dataclass(frozen=True, slots=True)
class Result:
    """`ours` is what the verifier says against the program, `theirs` what the other side says,
    both "" where there is nothing to tell; `section` is that of docs/verifier-differences.md which
    explains why they differ."""

    outcome: Outcome
    ours: str = ""
    theirs: str = ""
    section: str | None = None

    @property
    def cause(self) -> tuple[Outcome, str]:
        """Equal for bugs that are likely to be one."""
        return self.outcome, _gist(self.ours or self.theirs)


def _gist(message: str) -> str:
    """A message without what differs from program to program."""
    return re.sub(r"-?(0x[0-9a-f]+|\d+)", "N", message)[:60]


class Examiner(Protocol):
    """Makes programs and says what becomes of them, the same each time."""

    def program(self, index: int) -> Program: ...

    def examine(self, program: Program, index: int) -> Result:
        """`index` is where the program came from; it may have been made smaller since."""
        ...
