"""The cases of `bpfheap bench verifier`: one number over many programs, and its threshold.

A program on which bpfheap fails, or says something else than the kernel, is not left out: it counts
as infinitely slow, and as infinitely many instructions.
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
    """Cases of `bpfheap bench verifier`."""

    THROUGHPUT_LARGE = "throughput_large"
    MILLION_LIMIT = "million_limit"
    CORPUS_WALL_MEDIAN = "corpus_wall_median"
    INSNS_PROCESSED_P90 = "insns_processed_p90"


class MinMedian(NamedTuple):
    """A case's number for one side, in the case's unit: computed from each program's fastest round,
    and from its median round. (Instructions are the same in every round.)"""

    min: float
    median: float

    def to_json(self) -> dict[str, float | None]:
        return {"min": finite(self.min), "median": finite(self.median)}


@dataclass(frozen=True, slots=True)
class VerifierCase:
    """The result of one case."""

    name: CaseName
    about: str
    #: NS, PER_INSN or INSNS.
    unit: str
    #: How many programs it is computed from.
    programs: int
    #: How many of them count as infinite.
    wrong: int
    ours: MinMedian | None
    #: None if there is no kernel to ask.
    kernel: MinMedian | None
    #: Ours divided by the kernel's; None if there is no kernel to ask.
    ratio: float | None
    #: The greatest ratio that passes.
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
    """How a case is computed."""

    #: The programs that it is about.
    group: Group
    about: str
    unit: str
    threshold: float
    #: A program's number on one side, from one of its times (ns).
    number_of: Callable[[Side, float], float]
    #: A program's ratio, ours by the kernel's.
    ratio_of: Callable[[Measured], float | None]
    #: One number from those of all programs.
    aggregate: Callable[[Sequence[float]], float]


def _time(side: Side, ns: float) -> float:
    return ns


def _time_of_one(side: Side, ns: float) -> float:
    return ns / side.processed if side.processed else math.nan


def _processed(side: Side, ns: float) -> float:
    return side.processed if side.processed is not None else math.nan


def p90(numbers: Sequence[float]) -> float:
    """The 90th percentile: the least of the numbers that nine in ten do not exceed."""
    return sorted(numbers)[math.ceil(len(numbers) * 0.9) - 1]


ROWS: Final[dict[CaseName, _Row]] = {
    CaseName.THROUGHPUT_LARGE: _Row(
        Group.LARGE,
        "time for loops that process 20,000 to 150,000 instructions, median of the programs",
        PER_INSN,
        0.75,
        _time_of_one,
        lambda program: program.time_ratio,
        statistics.median,
    ),
    CaseName.MILLION_LIMIT: _Row(
        Group.MILLION,
        "time until a loop is refused for the limit of a million instructions",
        NS,
        0.6,
        _time,
        lambda program: program.time_ratio,
        statistics.median,
    ),
    CaseName.CORPUS_WALL_MEDIAN: _Row(
        Group.CORPUS,
        "time for a program of the corpus, median of the programs",
        NS,
        3.3,
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


def verifier_case(name: CaseName, programs: Sequence[Measured]) -> VerifierCase | None:
    """The result of a case over the programs of its group; None if there are none."""
    row = ROWS[name]
    mine = [program for program in programs if program.group is row.group]
    if not mine:
        return None
    ratios = [ratio for ratio in map(row.ratio_of, mine) if ratio is not None]
    return VerifierCase(
        name,
        row.about,
        row.unit,
        len(mine),
        sum(program.wrong for program in mine),
        _min_median(row, [program.ours for program in mine]),
        _min_median(row, [program.kernel for program in mine if program.kernel is not None]),
        row.aggregate(ratios) if ratios else None,
        row.threshold,
    )


def _min_median(row: _Row, sides: Sequence[Side]) -> MinMedian | None:
    """A side's number over all programs that it has times for; None if there are none."""
    both = [(row.number_of(side, side.min), row.number_of(side, side.median)) for side in sides]
    known = [pair for pair in both if not any(map(math.isnan, pair))]
    if not known:
        return None
    return MinMedian(
        row.aggregate([low for low, _ in known]), row.aggregate([mid for _, mid in known])
    )
