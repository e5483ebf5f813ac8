"""What a search has seen that is worth telling, each thing where it was seen first."""

from __future__ import annotations

from typing import NamedTuple

from bpfheap.errors import Violation
from bpfheap.explore.model import Effect, Load
from bpfheap.explore.world import Action


class Wrong(NamedTuple):
    """A violation, as far as it is the same one in all its histories."""

    kind: str
    text: str

    @classmethod
    def of(cls, violation: Violation) -> Wrong:
        return cls(violation.kind, str(violation))


class Place(NamedTuple):
    """The `turn`-th thing that happens in the state of that number, by `action`; None for what is
    wrong with the state itself. Places are in the order of the search."""

    state: int
    turn: int
    action: Action | None


class Seen(NamedTuple):
    """`first` is where, and `times` how often. `load` says more of a load."""

    first: Place
    times: int = 1
    load: Load | None = None

    def and_also(self, other: Seen) -> Seen:
        one, two = sorted((self, other), key=lambda seen: seen.first[:2])
        return one._replace(times=one.times + two.times)


class Ledger:
    """`loads` are by program, whether they were refused, and whether that was for a stuck field.
    `immortal` is where an allocator without objects was left when everything was closed."""

    def __init__(self) -> None:
        self.violations: dict[Wrong, Seen] = {}
        self.loads: dict[tuple[str, bool, bool], Seen] = {}
        self.together = False
        self.reused = False
        self.immortal: Seen | None = None

    def tell(self, effect: Effect, state: int, turn: int) -> None:
        place = Place(state, turn, effect.action)
        if effect.violation is not None:
            self.violation(effect.violation, place)
        load = effect.load
        if load is not None:
            self.together |= load.together
            self.reused |= load.reused
            key = (load.program, load.refused is not None, load.stuck)
            self.loads[key] = _added(self.loads.get(key), Seen(place, load=load))

    def violation(self, violation: Violation, place: Place) -> None:
        wrong = Wrong.of(violation)
        self.violations[wrong] = _added(self.violations.get(wrong), Seen(place))

    def left(self, place: Place) -> None:
        self.immortal = _added(self.immortal, Seen(place))

    def merge(self, other: Ledger) -> None:
        """Add what another part of the search has seen."""
        for wrong, seen in other.violations.items():
            self.violations[wrong] = _added(self.violations.get(wrong), seen)
        for key, seen in other.loads.items():
            self.loads[key] = _added(self.loads.get(key), seen)
        if other.immortal is not None:
            self.immortal = _added(self.immortal, other.immortal)
        self.together |= other.together
        self.reused |= other.reused


def _added(known: Seen | None, seen: Seen) -> Seen:
    return seen if known is None else known.and_also(seen)
