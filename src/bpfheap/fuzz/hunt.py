"""Examine many programs; report each bug once, with the smallest program found that shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bpfheap.fuzz.minimise import minimised
from bpfheap.fuzz.pieces import RandomProgram
from bpfheap.fuzz.results import BUGS, Examiner, FuzzResult, Outcome
from bpfheap.fuzz.share import OpenExaminer, examined
from bpfheap.fuzz.surroundings import linked
from bpfheap.isa import disassemble
from bpfheap.platform.calls import HELPER_BY_NUMBER
from bpfheap.spec import ProgramSpec

#: The most bugs that are reported with a program; further ones are only counted.
_MAX_REPORTED: Final = 40

#: The share of programs that may stay without a verdict of the kernel.
_MAX_UNASKED: Final = 0.001

#: Called with the number of programs examined so far, and of those among them that show a bug.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug, with a program that shows it."""

    #: All programs that seem to show it, in order.
    indices: tuple[int, ...]
    #: The result for `program`.
    result: FuzzResult
    #: The first of those programs, reduced.
    program: RandomProgram

    @property
    def outcome(self) -> Outcome:
        return self.result.outcome

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": str(self.outcome),
            "index": self.indices[0],
            "count": len(self.indices),
            "ours": self.result.ours,
            "theirs": self.result.theirs,
            "section": self.program.section,
            "program": listing(self.program),
        }


@dataclass(slots=True)
class HuntReport:
    """What was found over all programs."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    #: The kernel's errors where it gave no verdict, by message.
    unasked: Counter[str] = field(default_factory=Counter)
    #: Known differences, by section of docs/verifier-differences.md.
    sections: Counter[str] = field(default_factory=Counter)
    findings: list[Bug] = field(default_factory=list)
    #: How many more bugs there are than `findings` has.
    untold: int = 0
    #: False if an interrupt ended the search.
    finished: bool = False

    def add(self, other: HuntReport) -> None:
        """What was found over other programs."""
        self.counts += other.counts
        self.unasked += other.unasked
        self.sections += other.sections
        self.finished = other.finished
        self.untold += other.untold
        known = {finding.result.cause: at for at, finding in enumerate(self.findings)}
        for finding in other.findings:
            at = known.get(finding.result.cause)
            if at is None:
                self.findings.append(finding)
            else:
                first = self.findings[at]
                self.findings[at] = replace(first, indices=first.indices + finding.indices)

    @property
    def bugs(self) -> int:
        """How many programs show a bug."""
        return sum(self.counts[outcome] for outcome in BUGS)

    @property
    def passed(self) -> bool:
        """No bug, and at most one program in a thousand without a verdict of the kernel."""
        return not self.bugs and self.counts[Outcome.UNASKED] <= self.counts.total() * _MAX_UNASKED

    def to_json(self) -> dict[str, Any]:
        return {
            "programs": self.counts.total(),
            "finished": self.finished,
            "outcomes": {str(outcome): self.counts[outcome] for outcome in Outcome},
            "unasked": dict(sorted(self.unasked.items())),
            "explained": dict(sorted(self.sections.items())),
            "findings": [finding.to_json() for finding in self.findings],
            "untold": self.untold,
        }


def hunt(
    opened: OpenExaminer,
    indices: range,
    *,
    jobs: int = 1,
    progress: Progress = lambda done, bugs: None,
) -> HuntReport:
    """Examine the programs of all indices. KeyboardInterrupt ends the search early, or what is
    done to make programs smaller; they are then reported as they are."""
    report = HuntReport()
    bugs: dict[int, FuzzResult] = {}
    try:
        for index, result in examined(opened, indices, jobs):
            report.counts[result.outcome] += 1
            if result.outcome is Outcome.UNASKED:
                report.unasked[result.theirs] += 1
            if result.section is not None:
                report.sections[result.section] += 1
            if result.outcome in BUGS:
                bugs[index] = result
            progress(report.counts.total(), len(bugs))
        report.finished = True
    except KeyboardInterrupt:
        pass
    groups: dict[tuple[Outcome, str], list[int]] = {}
    for index in sorted(bugs):
        groups.setdefault(bugs[index].cause, []).append(index)
    ordered = sorted(groups.values(), key=lambda found: BUGS.index(bugs[found[0]].outcome))
    report.untold = len(ordered[_MAX_REPORTED:])
    if ordered:
        with opened() as examiner:
            for found in ordered[:_MAX_REPORTED]:
                bug = tuple(found), bugs[found[0]]
                try:
                    finding = _finding(examiner, *bug, small=report.finished)
                except KeyboardInterrupt:
                    report.finished = False
                    finding = _finding(examiner, *bug, small=False)
                report.findings.append(finding)
    return report


def _finding(
    examiner: Examiner, indices: tuple[int, ...], result: FuzzResult, *, small: bool
) -> Bug:
    index = indices[0]
    program = examiner.program(index)
    if small:

        def shows_it(smaller: RandomProgram) -> bool:
            return examiner.examine(smaller, index).cause == result.cause

        program = minimised(program, shows_it)
        result = examiner.examine(program, index)
    return Bug(indices, result, program)


def listing(program: RandomProgram) -> list[str]:
    """The program as assembly, a line for each instruction, with a line `name:` before each
    function but the first."""
    return listing_of(linked(program))


def listing_of(spec: ProgramSpec) -> list[str]:
    """The same of a linked program."""
    lines = disassemble(spec.insns, spec.refs, helper_name=_helper_name)
    names = {sub.start: sub.name for sub in spec.subprogs[1:]}
    shown = []
    for line in lines:
        name = names.get(int(line.partition(":")[0]))
        if name is not None:
            shown.append(f"{name}:")
        shown.append(line)
    return shown


def _helper_name(number: int) -> str | None:
    row = HELPER_BY_NUMBER.get(number)
    return f"#{number}" if row is None else row.name
