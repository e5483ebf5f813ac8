"""What a search has seen that is worth telling, each thing where it was seen first."""

from __future__ import annotations

from typing import NamedTuple

from bpfheap.errors import Violation
from bpfheap.explore.model import ActionEffect, LoadOutcome
from bpfheap.explore.world import Action


class ViolationKey(NamedTuple):
    """What tells violations apart: the same one may end many histories."""

    kind: str
    text: str

    @classmethod
    def of(cls, violation: Violation) -> ViolationKey:
        return cls(violation.kind, str(violation))


class Occurrence(NamedTuple):
    """A transition of the search, in whose order they sort.

    `state`: the number of the state in which it begins.
    `turn`: its place among the transitions from that state; -1 for what is wrong with the state
        itself.
    `action`: what happens; None for the state itself.
    """

    state: int
    turn: int
    action: Action | None


class Sighting(NamedTuple):
    """Something that a search met.

    `first`: where first.
    `times`: how often.
    `load`: for loads, what came of the first.
    """

    first: Occurrence
    times: int = 1
    load: LoadOutcome | None = None

    def and_also(self, other: Sighting) -> Sighting:
        one, two = sorted((self, other), key=lambda seen: seen.first[:2])
        return one._replace(times=one.times + two.times)


class Ledger:
    """What a search has met.

    `violations`: each kind of violation.
    `loads`: by program, whether it was refused, and whether that was for a stuck field.
    `together`, `reused`: as in results.Result.
    `immortal`: an allocator without objects is left when everything is closed.
    """

    def __init__(self) -> None:
        self.violations: dict[ViolationKey, Sighting] = {}
        self.loads: dict[tuple[str, bool, bool], Sighting] = {}
        self.together = False
        self.reused = False
        self.immortal: Sighting | None = None

    def record(self, effect: ActionEffect, state: int, turn: int) -> None:
        place = Occurrence(state, turn, effect.action)
        if effect.violation is not None:
            self.violation(effect.violation, place)
        load = effect.load
        if load is not None:
            self.together |= load.together
            self.reused |= load.reused
            key = (load.program, load.refused is not None, load.stuck)
            self.loads[key] = _added(self.loads.get(key), Sighting(place, load=load))

    def violation(self, violation: Violation, place: Occurrence) -> None:
        wrong = ViolationKey.of(violation)
        self.violations[wrong] = _added(self.violations.get(wrong), Sighting(place))

    def left(self, place: Occurrence) -> None:
        self.immortal = _added(self.immortal, Sighting(place))

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


def _added(known: Sighting | None, seen: Sighting) -> Sighting:
    return seen if known is None else known.and_also(seen)
