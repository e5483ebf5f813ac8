"""All programs of a theme up to a length, each held against whatever can be asked.

Shorter programs come first, so the first one that shows a fault is the smallest there is. Where the
verifier refuses a letter of a body, no other body with the same beginning is looked at: the
beginning has been verified then, once for all of them, and they are counted as refused.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any, Final, NamedTuple, TypeAlias

from bpfheap.errors import Violation
from bpfheap.fuzz.against_kernel import Judge
from bpfheap.fuzz.against_unpruned import walked_to_the_end
from bpfheap.fuzz.differences import section_of
from bpfheap.fuzz.hunt import listing_of
from bpfheap.fuzz.known import verifier_knowledge
from bpfheap.fuzz.results import BUGS, LIMIT, FuzzResult, Outcome, crashed, not_accepted
from bpfheap.fuzz.share import shared
from bpfheap.fuzz.soundness import RuledOutValue, run
from bpfheap.fuzz.theme import Letter, Placed, Theme
from bpfheap.fuzz.themes import theme as theme_of
from bpfheap.spec import ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, Verdict, verify

#: Asked in turn about an accepted program, until one has something against it.
Asked: TypeAlias = Callable[[ObjectSpec, ProgramSpec, Verdict], FuzzResult]
#: Opens what is asked; called once in each process.
OpenAsked: TypeAlias = Callable[[], AbstractContextManager[tuple[Asked, ...]]]

#: The most findings that are told with a program; further ones are only counted.
_MAX_TOLD: Final = 40
#: Said of a program that nothing is held against, from the one that says most.
_FINE: Final = (Outcome.UNDECIDED, Outcome.UNROLLED, Outcome.EXPLAINED, Outcome.ACCEPTED)


class Unit(NamedTuple):
    """A part of the work: the bodies of some length that begin with a letter and its target."""

    length: int
    first: int
    target: int


@dataclass(slots=True)
class ThemeFinding:
    """A fault, with the first program that shows it."""

    result: FuzzResult
    program: ProgramSpec
    count: int = 1


@dataclass(slots=True)
class ThemeReport:
    """What came of all programs, or of those of one unit.

    `seconds`: how long it took, with all processes.
    `outcomes`: of the programs, by length.
    `skipped`: how many of those that are refused were not verified, as their beginning was.
    `sections`: known differences, by section of docs/verifier-differences.md.
    `findings`: by cause.
    `finished`: False if an interrupt, or the time, ended it.
    """

    outcomes: dict[int, Counter[Outcome]] = field(default_factory=dict)
    skipped: int = 0
    sections: Counter[str] = field(default_factory=Counter)
    findings: dict[tuple[Outcome, str], ThemeFinding] = field(default_factory=dict)
    finished: bool = True
    seconds: float = 0.0

    def add(self, other: ThemeReport) -> None:
        for length, counts in other.outcomes.items():
            self.outcomes.setdefault(length, Counter()).update(counts)
        self.skipped += other.skipped
        self.sections += other.sections
        for cause, finding in other.findings.items():
            known = self.findings.setdefault(cause, finding)
            if known is not finding:
                known.count += finding.count

    @property
    def counts(self) -> Counter[Outcome]:
        return sum(self.outcomes.values(), Counter())

    @property
    def passed(self) -> bool:
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        total = self.counts
        return {
            "programs": total.total(),
            "lengths": {str(n): counts.total() for n, counts in sorted(self.outcomes.items())},
            "seconds": round(self.seconds, 3),
            "per_second": round(total.total() / self.seconds) if self.seconds else None,
            "refused_with_their_beginning": self.skipped,
            "outcomes": {str(outcome): total[outcome] for outcome in Outcome},
            "explained": dict(sorted(self.sections.items())),
            "finished": self.finished,
            "findings": [
                {
                    "kind": str(found.result.outcome),
                    "count": found.count,
                    "ours": found.result.ours,
                    "theirs": found.result.theirs,
                    "section": found.program.section,
                    "program": listing_of(found.program),
                }
                for found in self.told()
            ],
            "untold": len(self.findings) - len(self.told()),
        }

    def told(self) -> list[ThemeFinding]:
        """The findings, worst first."""
        ordered = sorted(self.findings.values(), key=lambda f: BUGS.index(f.result.outcome))
        return ordered[:_MAX_TOLD]


def units(theme: Theme, length: int) -> list[Unit]:
    """All bodies of up to `length` letters, in parts."""
    found = []
    for size in range(1, length + 1):
        for first, letter in enumerate(theme.letters):
            if letter.renamed(0) is None:
                continue
            found += [Unit(size, first, target) for target in _targets(letter, 0, size)]
    return found


def _targets(letter: Letter, at: int, size: int) -> range:
    """Where a letter at `at` may lead: behind the next one, up to the end; itself if it does not
    jump."""
    return range(at + 2, size + 1) if letter.jumps else range(at + 1, at + 2)


def size_of(theme: Theme, length: int) -> int:
    """How many programs have bodies of exactly that length."""
    return _completions(theme, length)(0, 0)


def _completions(theme: Theme, size: int) -> Callable[[int, int], int]:
    """How many ways there are to go on from a number of letters with a number of registers used,
    endings included."""
    letters = theme.letters
    endings = theme.endings

    @cache
    def ways(at: int, used: int) -> int:
        if at == size:
            return sum(ending.renamed(used) is not None for ending in endings)
        total = 0
        for letter in letters:
            after = letter.renamed(used)
            if after is not None:
                total += len(_targets(letter, at, size)) * ways(at + 1, after)
        return total

    return ways


def examine_unit(theme: Theme, unit: Unit, asked: tuple[Asked, ...]) -> ThemeReport:
    """Verify all programs of a unit, and ask about those that are accepted."""
    report = ThemeReport()
    counts = report.outcomes[unit.length] = Counter()
    ways = _completions(theme, unit.length)
    first = theme.letters[unit.first]
    start = ((first, unit.target),)
    used = first.renamed(0)
    assert used is not None

    def go_on(body: tuple[Placed, ...], used: int) -> int | None:
        """All programs that begin so. Gives the number of a letter before the last one of `body`
        that is refused: whoever has it goes on to another."""
        at = len(body)
        if at == unit.length:
            return finish(body, used)
        done = 0
        for letter in theme.letters:
            after = letter.renamed(used)
            if after is None:
                continue
            for target in _targets(letter, at, unit.length):
                refused = go_on((*body, (letter, target)), after)
                done += ways(at + 1, after)
                if refused is not None and refused < at:
                    left = ways(at, used) - done
                    report.skipped += left
                    counts[Outcome.REFUSED] += left
                    return refused
        return None

    def finish(body: tuple[Placed, ...], used: int) -> int | None:
        left = ways(len(body), used)
        for ending in theme.endings:
            if ending.renamed(used) is None:
                continue
            left -= 1
            program = theme.program(body, ending)
            result, insn = judged(theme.obj, program, asked)
            counts[result.outcome] += 1
            if result.section is not None:
                report.sections[result.section] += 1
            if result.outcome in BUGS:
                _keep(report, result, program)
            if insn is not None and not theme.again:
                refused = theme.place_of(insn, body, ending)
                if refused is not None:
                    report.skipped += left
                    counts[Outcome.REFUSED] += left
                    return refused
        return None

    go_on(start, used)
    return report


def _keep(report: ThemeReport, result: FuzzResult, program: ProgramSpec) -> None:
    known = report.findings.get(result.cause)
    if known is None:
        report.findings[result.cause] = ThemeFinding(result, program)
    else:
        known.count += 1


def judged(
    obj: ObjectSpec, program: ProgramSpec, asked: tuple[Asked, ...]
) -> tuple[FuzzResult, int | None]:
    """What comes of one program; and the slot that is refused, if it is."""
    try:
        options = Options(complexity_limit=LIMIT, explain=False, stored_often=True)
        verdict = verify(obj, program, options)
        if verdict.error is not None:
            return not_accepted(verdict), verdict.error.insn
        found = [Outcome.ACCEPTED]
        section = None
        for ask in asked:
            result = ask(obj, program, verdict)
            if result.outcome in BUGS:
                return result, None
            section = section or result.section
            found.append(result.outcome)
        return FuzzResult(next(o for o in _FINE if o in found), section=section), None
    except Exception as error:
        return crashed(error), None


def ask_unpruned(obj: ObjectSpec, program: ProgramSpec, verdict: Verdict) -> FuzzResult:
    """The walk that ends no path early."""
    return walked_to_the_end(obj, program)


def ask_model(obj: ObjectSpec, program: ProgramSpec, verdict: Verdict) -> FuzzResult:
    """The model machine, with a few contexts, packets and contents of maps, always the same."""
    try:
        run(obj, program, verdict, Random("themes"), verifier_knowledge(obj, program, LIMIT))
    except Violation as seen:
        return FuzzResult(Outcome.VIOLATION, theirs=f"{seen.kind}: {seen.message}")
    except RuledOutValue as found:
        return FuzzResult(Outcome.OUTSIDE, theirs=str(found))
    return FuzzResult(Outcome.ACCEPTED)


def ask_kernel(judge: Judge) -> Asked:
    """The verifier of the live kernel."""

    def ask(obj: ObjectSpec, program: ProgramSpec, verdict: Verdict) -> FuzzResult:
        if judge.verify(obj, program).accepted:
            return FuzzResult(Outcome.ACCEPTED)
        theirs = judge.verify(obj, program, log=True).message or "(it does not say why)"
        section = section_of("", theirs, program)
        if section is not None:
            return FuzzResult(Outcome.EXPLAINED, "", theirs, section)
        return FuzzResult(Outcome.KERNEL_REFUSES, theirs=theirs)

    return ask


def exhausted(
    name: str,
    length: int,
    opened: OpenAsked,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, bugs: None,
) -> ThemeReport:
    """Examine all programs of a theme. KeyboardInterrupt ends it early. Raises UsageError for a
    theme that there is not, BpfheapError for an exception in one of the processes."""
    report = ThemeReport()
    started = time.monotonic()
    theme = theme_of(name)
    todo = units(theme, length)

    @dataclass
    class Serve:
        """What a process does with the numbers of units."""

        stack: ExitStack = field(default_factory=ExitStack)

        def __enter__(self) -> Callable[[int], ThemeReport]:
            asked = self.stack.enter_context(opened())
            return lambda index: examine_unit(theme, todo[index], asked)

        def __exit__(self, *error: Any) -> None:
            self.stack.close()

    parts: dict[int, ThemeReport] = {}
    try:
        for index, part in shared(Serve, range(len(todo)), jobs, group=1):
            parts[index] = part
            done = sum(p.counts.total() for p in parts.values())
            progress(done, sum(f.count for p in parts.values() for f in p.findings.values()))
    except KeyboardInterrupt:
        report.finished = False
    # In order, so that the first finding is the smallest whatever came first.
    for index in sorted(parts):
        report.add(parts[index])
    report.seconds = time.monotonic() - started
    return report
