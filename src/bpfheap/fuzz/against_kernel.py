"""Does the kernel say of a random program what the verifier says?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from bpfheap.fuzz.differences import section_of
from bpfheap.fuzz.generate import program
from bpfheap.fuzz.pieces import Program
from bpfheap.fuzz.surroundings import linked, surroundings
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, verify

#: Walks longer than this are not worth their time here.
LIMIT: Final = 50_000
#: As long as the kernel's walk comes to that share of the limit, ours may well reach it.
_NEAR: Final = 0.5


class Answer(Protocol):
    """What a judge says. `message` is why a program was refused, "" without the log;
    `insns_processed` comes with the log alone."""

    @property
    def accepted(self) -> bool: ...
    @property
    def message(self) -> str: ...
    @property
    def insns_processed(self) -> int | None: ...


class Judge(Protocol):
    """Another verifier: the kernel."""

    def verify(self, obj: ObjectSpec, program: ProgramSpec, *, log: bool = False) -> Answer: ...


class Outcome(StrEnum):
    """What became of one program, worst last."""

    ACCEPTED = "accepted"  # by both
    REFUSED = "refused"  # by both
    TOO_LONG = "too-long"  # ours gave up at LIMIT, and the kernel needs about as much
    EXPLAINED = "explained"  # they differ, and the table of differences says why
    OURS_REFUSES = "ours-refuses"  # and the kernel accepts
    KERNEL_REFUSES = "kernel-refuses"  # and ours accepts
    CRASH = "crash"  # ours raised an exception


#: What nothing explains.
DISAGREEMENTS: Final = (Outcome.CRASH, Outcome.KERNEL_REFUSES, Outcome.OURS_REFUSES)


@dataclass(frozen=True, slots=True)
class Compared:
    """`ours` and `kernel` are the messages of those that refused, of a disagreement only;
    `section` is that of docs/verifier-differences.md which explains it."""

    outcome: Outcome
    ours: str = ""
    kernel: str = ""
    section: str | None = None

    @property
    def same_as(self) -> tuple[Outcome, str]:
        """Equal for disagreements that are likely to have one cause."""
        return self.outcome, kind_of(self.ours or self.kernel)


def kind_of(message: str) -> str:
    """A message without what differs from program to program."""
    return re.sub(r"-?(0x[0-9a-f]+|\d+)", "N", message.partition(":")[0])[:80]


@dataclass(frozen=True, slots=True)
class AgainstKernel:
    """Compares programs of one seed. `judge` is asked for its log only where they disagree."""

    seed: int
    features: frozenset[str]
    judge: Judge

    def program(self, index: int) -> Program:
        return program(self.seed, index, self.features)

    def examine(self, index: int) -> Compared:
        return self.compare(self.program(index))

    def compare(self, made: Program) -> Compared:
        obj, spec = surroundings(self.features), linked(made)
        try:
            verdict = verify(obj, spec, Options(complexity_limit=LIMIT))
        except Exception as error:
            return Compared(Outcome.CRASH, f"{type(error).__name__}: {error}")
        answer = self.judge.verify(obj, spec)
        if verdict.accepted == answer.accepted:
            return Compared(Outcome.ACCEPTED if answer.accepted else Outcome.REFUSED)
        answer = self.judge.verify(obj, spec, log=True)
        ours = "" if verdict.error is None else verdict.error.message
        if ours and verdict.insns_processed > LIMIT:
            needed = answer.insns_processed or 0
            if needed > LIMIT * _NEAR:
                return Compared(Outcome.TOO_LONG)
        kernel = "" if answer.accepted else answer.message or "(no message)"
        section = section_of(ours, kernel, spec)
        if section is not None:
            return Compared(Outcome.EXPLAINED, ours, kernel, section)
        outcome = Outcome.KERNEL_REFUSES if verdict.accepted else Outcome.OURS_REFUSES
        return Compared(outcome, ours, kernel)
