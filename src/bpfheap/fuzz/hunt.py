"""Examine programs, and tell of each bug once, by the smallest program that shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from bpfheap.fuzz.minimise import minimised
from bpfheap.fuzz.pieces import Program
from bpfheap.fuzz.results import BUGS, Examiner, Outcome, Result
from bpfheap.fuzz.share import Opened, examined
from bpfheap.fuzz.surroundings import linked
from bpfheap.isa import disassemble
from bpfheap.platform.calls import HELPER_BY_NUMBER

#: So many bugs are told with a program of their own.
_TOLD: Final = 40

#: The share of programs without a verdict that may be put down to bad luck.
_FEW: Final = 0.001

#: How many programs have been examined, and how many of them show a bug.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """A bug. `indices` are all programs that seem to show it, in order; `program` is the first of
    them made small, and `result` is about that one."""

    indices: tuple[int, ...]
    result: Result
    program: Program

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
class Report:
    """`counts` of all outcomes; `unasked` has by its message what the kernel said instead of a
    verdict; `sections` of those differences that are explained; `untold` is the number of bugs
    beyond the ones in `findings`. `finished`: nothing was left out."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    unasked: Counter[str] = field(default_factory=Counter)
    sections: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    untold: int = 0
    finished: bool = False

    @property
    def bugs(self) -> int:
        """How many programs show one."""
        return sum(self.counts[outcome] for outcome in BUGS)

    @property
    def passed(self) -> bool:
        """No bug, and hardly a program was left without a verdict."""
        return not self.bugs and self.counts[Outcome.UNASKED] <= self.counts.total() * _FEW

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
    opened: Opened, indices: range, *, jobs: int = 1, progress: Progress = lambda done, bugs: None
) -> Report:
    """Examine the programs of all indices. An interrupt (KeyboardInterrupt) ends that early; then
    nothing is made small any more."""
    report = Report()
    bugs: dict[int, Result] = {}
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
    report.untold = len(ordered[_TOLD:])
    if ordered:
        with opened() as examiner:
            for found in ordered[:_TOLD]:
                finding = _finding(examiner, tuple(found), bugs[found[0]], small=report.finished)
                report.findings.append(finding)
    return report


def _finding(
    examiner: Examiner, indices: tuple[int, ...], result: Result, *, small: bool
) -> Finding:
    index = indices[0]
    program = examiner.program(index)
    if small:

        def shows_it(smaller: Program) -> bool:
            return examiner.examine(smaller, index).cause == result.cause

        program = minimised(program, shows_it)
        result = examiner.examine(program, index)
    return Finding(indices, result, program)


def listing(program: Program) -> list[str]:
    """The program as assembly, a line for each instruction; names of functions in between."""
    spec = linked(program)
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
