"""Compares the walk with the one without pruning: what is accepted because a path ended early must
be accepted, too, if each path is walked to its end. Asks no kernel and runs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bpfheap.fuzz.differences import section_of_unpruned
from bpfheap.fuzz.generate import random_program
from bpfheap.fuzz.pieces import RandomProgram
from bpfheap.fuzz.results import LIMIT, FuzzResult, Made, Outcome, crashed, not_accepted
from bpfheap.fuzz.surroundings import linked, surroundings
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, verify

#: Instructions after which the walk without pruning is given up; what it saw by then was right.
UNPRUNED_LIMIT: Final = 20_000

#: How such a walk is refused at its limits.
_TOO_LARGE: Final = ("BPF program is too large", "the sequence of ")


@dataclass(frozen=True, slots=True)
class AgainstUnpruned:
    """An Examiner.

    `stored_often`: as in Options, for programs that are too short to be pruned otherwise.
    """

    seed: int
    features: frozenset[str]
    made: Made = random_program
    stored_often: bool = False

    def program(self, index: int) -> RandomProgram:
        return self.made(self.seed, index, self.features)

    def examine(self, program: RandomProgram, index: int) -> FuzzResult:
        obj, spec = surroundings(self.features), linked(program)
        try:
            options = Options(complexity_limit=LIMIT, explain=False, stored_often=self.stored_often)
            verdict = verify(obj, spec, options)
            if not verdict.accepted:
                return not_accepted(verdict)
            return walked_to_the_end(obj, spec)
        except Exception as error:
            return crashed(error)


def walked_to_the_end(obj: ObjectSpec, spec: ProgramSpec) -> FuzzResult:
    """What the walk without pruning says of an accepted program."""
    options = Options(complexity_limit=UNPRUNED_LIMIT, pruned=False, explain=False)
    verdict = verify(obj, spec, options)
    if verdict.error is None:
        return FuzzResult(Outcome.UNROLLED if verdict.cut else Outcome.ACCEPTED)
    message = verdict.error.message
    if message.startswith(_TOO_LARGE):
        return FuzzResult(Outcome.UNDECIDED)
    section = section_of_unpruned(message, spec)
    outcome = Outcome.PRUNED if section is None else Outcome.EXPLAINED
    return FuzzResult(outcome, theirs=f"{message} (insn {verdict.error.insn})", section=section)
