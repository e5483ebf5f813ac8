"""What the measured programs say together: a number for each case, and whether it is good enough.

Verdicts that differ from the kernel's, and failures, are not left out: such a program counts as
infinitely slow and as infinitely many instructions.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from bpfheap.bench.measure import Measured, Side, finite
from bpfheap.bench.programs import Group

#: Units.
NS: Final = "ns"
PER_INSN: Final = "ns/insn"
INSNS: Final = "insns"


class CaseName(StrEnum):
    """The names of the cases."""

    THROUGHPUT_LARGE = "throughput_large"
    MILLION_LIMIT = "million_limit"
    CORPUS_WALL_MEDIAN = "corpus_wall_median"
    INSNS_PROCESSED_P90 = "insns_processed_p90"


class Extent(NamedTuple):
    """Of one side, in the case's unit: from each program's fastest round, and from its median
    round. (Instructions are the same in every round.)"""

    min: float
    median: float

    def to_json(self) -> dict[str, float | None]:
        return {"min": finite(self.min), "median": finite(self.median)}


@dataclass(frozen=True, slots=True)
class Case:
    """`ratio` is ours by the kernel's and is to be at most `threshold`; without a kernel it is
    None, as is `kernel`. `wrong` of the `programs` are those that count as infinite."""

    name: CaseName
    about: str
    unit: str
    programs: int
    wrong: int
    ours: Extent | None
    kernel: Extent | None
    ratio: float | None
    threshold: float

    @property
    def passed(self) -> bool | None:
        """None if there is nothing to compare with."""
        return None if self.ratio is None else self.ratio <= self.threshold

    def to_json(self) -> dict[str, Any]:
        peers = {} if self.kernel is None else {"kernel": self.kernel}
        found: dict[str, Any] = {
            "name": str(self.name),
            "about": self.about,
            "unit": self.unit,
            "programs": self.programs,
            "wrong": self.wrong,
            "ours": None if self.ours is None else self.ours.to_json(),
            "peers": {name: extent.to_json() for name, extent in peers.items()},
            "ratio": {} if self.ratio is None else {"kernel": finite(self.ratio)},
            "threshold": self.threshold,
            "passed": self.passed,
        }
        if self.unit == PER_INSN:
            sides = {"ours": self.ours} | peers
            found["insns_per_second"] = {
                name: round(1e9 / extent.median) for name, extent in sides.items() if extent
            }
        return found


class _Row(NamedTuple):
    """`of` is a program's number on one side, from one of its times (ns); `ratio` a program's
    ratio; `joined` makes one number of those of all programs."""

    group: Group
    about: str
    unit: str
    threshold: float
    of: Callable[[Side, float], float]
    ratio: Callable[[Measured], float | None]
    joined: Callable[[Sequence[float]], float]


def _time(side: Side, ns: float) -> float:
    return ns


def _time_of_one(side: Side, ns: float) -> float:
    return ns / side.processed if side.processed else math.nan


def _processed(side: Side, ns: float) -> float:
    return side.processed if side.processed is not None else math.nan


def p90(numbers: Sequence[float]) -> float:
    """The least number that nine in ten do not exceed."""
    return sorted(numbers)[math.ceil(len(numbers) * 0.9) - 1]


ROWS: Final[dict[CaseName, _Row]] = {
    CaseName.THROUGHPUT_LARGE: _Row(
        Group.LARGE,
        "time for loops that process 20,000 to 150,000 instructions, median of the programs",
        PER_INSN,
        4.0,
        _time_of_one,
        lambda program: program.time_ratio,
        statistics.median,
    ),
    CaseName.MILLION_LIMIT: _Row(
        Group.MILLION,
        "time until a loop is refused for the limit of a million instructions",
        NS,
        1.0,
        _time,
        lambda program: program.time_ratio,
        statistics.median,
    ),
    CaseName.CORPUS_WALL_MEDIAN: _Row(
        Group.CORPUS,
        "time for a program of the corpus, median of the programs",
        NS,
        10.0,
        _time,
        lambda program: program.time_ratio,
        statistics.median,
    ),
    CaseName.INSNS_PROCESSED_P90: _Row(
        Group.CORPUS,
        "instructions processed for a program of the corpus, 90th percentile of the programs",
        INSNS,
        1.3,
        _processed,
        lambda program: program.processed_ratio,
        p90,
    ),
}


def case(name: CaseName, programs: Sequence[Measured]) -> Case | None:
    """The case, from those of the programs that belong to it; None if there are none."""
    row = ROWS[name]
    mine = [program for program in programs if program.group is row.group]
    if not mine:
        return None
    ratios = [ratio for ratio in map(row.ratio, mine) if ratio is not None]
    return Case(
        name,
        row.about,
        row.unit,
        len(mine),
        sum(program.wrong for program in mine),
        _extent(row, [program.ours for program in mine]),
        _extent(row, [program.kernel for program in mine if program.kernel is not None]),
        row.joined(ratios) if ratios else None,
        row.threshold,
    )


def _extent(row: _Row, sides: Sequence[Side]) -> Extent | None:
    """Of all programs that a side has times and numbers of."""
    both = [(row.of(side, side.min), row.of(side, side.median)) for side in sides]
    known = [pair for pair in both if not any(map(math.isnan, pair))]
    if not known:
        return None
    return Extent(row.joined([low for low, _ in known]), row.joined([mid for _, mid in known]))
