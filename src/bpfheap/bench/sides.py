"""Results of benches that time the native core side by side with others (malloc, the kernel)."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

NS: Final = "ns"
MS: Final = "ms"
RATIO: Final = "ratio"
#: In `thresholds`: the fastest of the mallocs that were measured.
FASTEST: Final = "fastest"

#: Called with the case that is being measured, and how many are done.
Progress = Callable[[str, int], None]


def no_progress(doing: str, done: int) -> None:
    """A Progress that shows nothing."""


def _min_median(numbers: Sequence[float]) -> dict[str, float]:
    return {"min": round(min(numbers), 4), "median": round(statistics.median(numbers), 4)}


@dataclass(slots=True)
class SideCase:
    """The result of one case. One that compares ours with ours has the unit RATIO and no peers."""

    name: str
    about: str
    #: NS, MS or RATIO; numbers are for one operation.
    unit: str
    #: By peer, or FASTEST: the greatest ratio of ours to theirs that passes. By "": the greatest
    #: value of `ours` itself. A negative number is a minimum instead (-1.8: at least 1.8).
    thresholds: Mapping[str, float]
    #: One number for each round.
    ours: list[float] = field(default_factory=list)
    #: The same for each peer.
    peers: dict[str, list[float]] = field(default_factory=dict)
    #: Ours, measured in turns with that peer; `ours` where there is none.
    ours_by_peer: dict[str, list[float]] = field(default_factory=dict)
    #: Further figures, for JSON and below the table.
    extra: dict[str, Any] = field(default_factory=dict)

    def ratios(self) -> dict[str, float]:
        """Our median divided by each peer's; for a case without peers, its median, by ""."""
        if self.unit == RATIO or "" in self.thresholds:
            return {"": statistics.median(self.ours)} if self.ours else {}
        return {
            name: statistics.median(self.ours_by_peer.get(name) or self.ours)
            / statistics.median(times)
            for name, times in self.peers.items()
        }

    def verdicts(self) -> dict[str, bool]:
        """Whether each threshold is met; peers that were not measured are left out."""
        ratios = self.ratios()
        found: dict[str, bool] = {}
        for who, most in self.thresholds.items():
            if who == FASTEST:
                mallocs = {n: r for n, r in ratios.items() if n != "kernel"}
                ratio = max(mallocs.values(), default=None)
            else:
                ratio = ratios.get(who)
            if ratio is not None:
                found[who] = ratio <= most if most > 0 else ratio >= -most
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
            "ours": _min_median(self.ours) if self.ours else None,
            "peers": {name: _min_median(times) for name, times in self.peers.items()},
            "ratio": {name: round(r, 4) for name, r in self.ratios().items() if name},
            "threshold": {
                name or ("ratio" if self.unit == RATIO else self.unit): most
                for name, most in self.thresholds.items()
            },
            "passed": self.passed,
        } | self.extra


@dataclass(frozen=True, slots=True)
class SideBench:
    """The results of one bench."""

    name: str
    #: As `machine_info` gives it.
    info: dict[str, Any]
    rounds: int
    cases: tuple[SideCase, ...]
    #: Why a peer was not measured, by its name.
    missing: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return {
            "bench": self.name,
            "machine_info": self.info,
            "rounds": self.rounds,
            "missing": dict(self.missing),
            "cases": [case.to_json() for case in self.cases],
        }
