"""Does the kernel say of a random program what the verifier says?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from bpfheap.errors import KernelError
from bpfheap.fuzz.differences import section_of
from bpfheap.fuzz.generate import program
from bpfheap.fuzz.pieces import Program
from bpfheap.fuzz.results import Outcome, Result
from bpfheap.fuzz.surroundings import linked, surroundings
from bpfheap.kernel import possible_cpus
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, verify

#: Walks longer than this are not worth their time here.
LIMIT: Final = 50_000
#: If the kernel's walk comes to that share of the limit, ours may well reach it.
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


@dataclass(frozen=True, slots=True)
class AgainstKernel:
    """An Examiner. `judge` is asked for its log only where it disagrees."""

    seed: int
    features: frozenset[str]
    judge: Judge

    def program(self, index: int) -> Program:
        return program(self.seed, index, self.features)

    def examine(self, program: Program, index: int) -> Result:
        obj, spec = surroundings(self.features), linked(program)
        try:
            verdict = verify(obj, spec, Options(complexity_limit=LIMIT, cpus=possible_cpus()))
        except Exception as error:
            return Result(Outcome.CRASH, f"{type(error).__name__}: {error}")
        try:
            answer = self.judge.verify(obj, spec)
            if verdict.accepted == answer.accepted:
                return Result(Outcome.ACCEPTED if answer.accepted else Outcome.REFUSED)
            answer = self.judge.verify(obj, spec, log=True)
        except KernelError as error:
            return Result(Outcome.UNASKED, theirs=str(error))
        if verdict.insns_processed > LIMIT and (answer.insns_processed or 0) > LIMIT * _NEAR:
            return Result(Outcome.TOO_LONG)
        ours = "" if verdict.error is None else verdict.error.message
        theirs = "" if answer.accepted else answer.message or "(it does not say why)"
        section = section_of(ours, theirs, spec)
        if section is not None:
            return Result(Outcome.EXPLAINED, ours, theirs, section)
        outcome = Outcome.KERNEL_REFUSES if verdict.accepted else Outcome.OURS_REFUSES
        return Result(outcome, ours, theirs)
