"""Cases in which the native core is timed beside others, in one run: numbers of both sides, and how
they compare."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

NS: Final = "ns"
MS: Final = "ms"
RATIO: Final = "ratio"
#: A peer that stands for the best of those there are.
FASTEST: Final = "fastest"

#: Is told what is being done, and how many cases are.
Progress = Callable[[str, int], None]


def quiet(doing: str, done: int) -> None:
    """Nobody wants to know."""


def _extent(numbers: Sequence[float]) -> dict[str, float]:
    return {"min": round(min(numbers), 4), "median": round(statistics.median(numbers), 4)}


@dataclass(slots=True)
class Case:
    """`ours` are what the rounds took, in `unit` for each operation; `peers` the same of others,
    and `beside` what ours took in the run of that peer. A case that compares ours with ours has the
    unit "ratio" and no peers. `thresholds`: the greatest ratio to a peer, to each malloc (FASTEST),
    or, of the case itself, the greatest number (""); a negative one is the least (-1.8: at least
    1.8).
    """

    name: str
    about: str
    unit: str
    thresholds: Mapping[str, float]
    ours: list[float] = field(default_factory=list)
    peers: dict[str, list[float]] = field(default_factory=dict)
    beside: dict[str, list[float]] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def ratios(self) -> dict[str, float]:
        """Of medians; of a case that stands for itself, its own."""
        if self.unit == RATIO or "" in self.thresholds:
            return {"": statistics.median(self.ours)} if self.ours else {}
        return {
            name: statistics.median(self.beside.get(name) or self.ours) / statistics.median(times)
            for name, times in self.peers.items()
        }

    def verdicts(self) -> dict[str, bool]:
        """Whether each threshold is kept; those of peers that are not there are left out."""
        ratios = self.ratios()
        found: dict[str, bool] = {}
        for who, most in self.thresholds.items():
            if who == FASTEST:
                mallocs = {n: r for n, r in ratios.items() if n != "kernel"}
                of = max(mallocs.values(), default=None)
            else:
                of = ratios.get(who)
            if of is not None:
                found[who] = of <= most if most > 0 else of >= -most
        return found

    @property
    def passed(self) -> bool | None:
        """None if there is nothing to compare with."""
        verdicts = self.verdicts()
        return all(verdicts.values()) if verdicts else None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "about": self.about,
            "unit": self.unit,
            "ours": _extent(self.ours) if self.ours else None,
            "peers": {name: _extent(times) for name, times in self.peers.items()},
            "ratio": {name: round(r, 4) for name, r in self.ratios().items() if name},
            "threshold": {
                name or ("ratio" if self.unit == RATIO else self.unit): most
                for name, most in self.thresholds.items()
            },
            "passed": self.passed,
        } | self.more


@dataclass(frozen=True, slots=True)
class Bench:
    """`missing` says of peers that are not there why they are not."""

    name: str
    info: dict[str, Any]
    rounds: int
    cases: tuple[Case, ...]
    missing: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return {
            "bench": self.name,
            "machine_info": self.info,
            "rounds": self.rounds,
            "missing": dict(self.missing),
            "cases": [case.to_json() for case in self.cases],
        }
