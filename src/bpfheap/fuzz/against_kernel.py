"""Compares verdicts: does the live kernel's verifier accept what bpfheap's accepts?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Protocol

from bpfheap.errors import KernelError
from bpfheap.fuzz import impossible
from bpfheap.fuzz.differences import HOLES, section_of
from bpfheap.fuzz.generate import random_program
from bpfheap.fuzz.pieces import RandomProgram
from bpfheap.fuzz.results import LIMIT, FuzzResult, Made, Outcome, crashed, not_accepted
from bpfheap.fuzz.surroundings import linked, surroundings
from bpfheap.kernel import possible_cpus
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, VerdictKind, verify

#: What both allow, when it makes a difference that ours gave up at LIMIT.
_FULL_LIMIT: Final = Options().complexity_limit


class Answer(Protocol):
    """A verdict of the other verifier."""

    @property
    def accepted(self) -> bool: ...
    @property
    def message(self) -> str:
        """Why the program was refused; "" without the log."""
        ...

    @property
    def log(self) -> str: ...


class Judge(Protocol):
    """The other verifier: the kernel's, or a test's substitute."""

    def verify(self, obj: ObjectSpec, program: ProgramSpec, *, log: bool = False) -> Answer: ...


@dataclass(frozen=True, slots=True)
class AgainstKernel:
    """An Examiner. `judge` writes its log only for programs on which the verdicts differ."""

    seed: int
    features: frozenset[str]
    judge: Judge
    made: Made = random_program

    def program(self, index: int) -> RandomProgram:
        return self.made(self.seed, index, self.features)

    def examine(self, program: RandomProgram, index: int) -> FuzzResult:
        obj, spec = surroundings(self.features), linked(program)
        try:
            options = Options(complexity_limit=LIMIT, cpus=possible_cpus(), explain=False)
            verdict = verify(obj, spec, options)
        except Exception as error:
            return crashed(error)
        if verdict.kind is VerdictKind.UNSUPPORTED:
            return not_accepted(verdict)
        try:
            answer = self.judge.verify(obj, spec)
            if verdict.accepted == answer.accepted:
                return FuzzResult(Outcome.ACCEPTED if answer.accepted else Outcome.REFUSED)
            answer = self.judge.verify(obj, spec, log=True)
            if answer.accepted and verdict.insns_processed > LIMIT:
                verdict = verify(obj, spec, replace(options, complexity_limit=_FULL_LIMIT))
                if verdict.accepted:
                    return FuzzResult(Outcome.TOO_LONG)
        except KernelError as error:
            return FuzzResult(Outcome.UNASKED, theirs=str(error))
        except Exception as error:
            return crashed(error)
        ours = "" if verdict.error is None else verdict.error.message
        theirs = "" if answer.accepted else answer.message or "(it does not say why)"
        section = section_of(ours, theirs, spec)
        if section is None and answer.accepted:
            # Refused for what a path in the loop of a callback learns late?
            linux = verify(obj, spec, replace(options, as_linux=True))
            section = HOLES if linux.accepted else None
        if section is None and verdict.accepted and impossible.has_impossible_number(answer.log):
            section = impossible.SECTION
        if section is not None:
            return FuzzResult(Outcome.EXPLAINED, ours, theirs, section)
        outcome = Outcome.KERNEL_REFUSES if verdict.accepted else Outcome.OURS_REFUSES
        return FuzzResult(outcome, ours, theirs)
