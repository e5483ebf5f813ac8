"""Breadth first through all states, so that the first history found is a shortest one."""

from __future__ import annotations

import sys
import time
from array import array
from collections.abc import Callable, Iterator

from bpfheap.errors import Violation
from bpfheap.explore.model import Effect, Load, Model
from bpfheap.explore.results import Progress
from bpfheap.explore.world import Action

#: Seconds between two reports of progress, and how many states are visited between two looks at
#: the clock.
_PAUSE = 0.2
_LOOK_AT_CLOCK = 512
#: What a set of bytes takes of each element's place in its table, on average: 16 bytes, three
#: tenths to six tenths full.
_SET_ENTRY = 16 / 0.45
#: What a bytes object takes beyond its bytes, and the allocator's rounding up to 16, on average.
_BYTES = sys.getsizeof(b"") + 8


class Trail:
    """For each state, by the order in which they were found, its parent and the action that led
    here: 6 bytes a state."""

    def __init__(self) -> None:
        self._parents = array("I", [0])
        self._actions = array("H", [0])
        self._numbers: dict[Action, int] = {}
        self._known: list[Action] = []

    def __len__(self) -> int:
        return len(self._parents)

    def add(self, parent: int, action: Action) -> None:
        number = self._numbers.get(action)
        if number is None:
            number = self._numbers[action] = len(self._known)
            self._known.append(action)
        self._parents.append(parent)
        self._actions.append(number)

    def to(self, state: int) -> list[Action]:
        """The actions that lead to a state."""
        found: list[Action] = []
        while state:
            found.append(self._known[self._actions[state]])
            state = self._parents[state]
        found.reverse()
        return found

    def memory(self) -> int:
        return sum(a.itemsize * len(a) for a in (self._parents, self._actions))


class Seen:
    """Something worth telling, and where: the state from which `last` led there, if anything."""

    __slots__ = ("at", "count", "last", "what")

    def __init__(self, what: Violation | Load | None, at: int, last: Action | None) -> None:
        self.what = what
        self.at = at
        self.last = last
        self.count = 1


class Search:
    """One exploration. `run` may be interrupted; what is known then is in the attributes."""

    def __init__(self, model: Model, *, limit: int | None = None, first: bool = False) -> None:
        """`limit`: stop after so many states. `first`: stop at the first violation."""
        self.model = model
        self.trail = Trail()
        self.transitions = 0
        self.depth = 0
        self.finished = False
        self.seconds = 0.0
        #: By what makes them different: kind, program, text.
        self.violations: dict[tuple[str, str], Seen] = {}
        self.loads: dict[tuple[str, bool, bool], Seen] = {}
        self.together = False
        self.reused = False
        self.immortal: Seen | None = None
        self.retained = Retained(model)
        self._limit = limit
        self._first = first
        self._visited: set[bytes] = set()
        self._frontier: list[tuple[bytes, int]] = []
        self._bytes = 0

    @property
    def states(self) -> int:
        return len(self.trail)

    def run(self, progress: Callable[[Progress], None] | None = None) -> None:
        """Visit everything; returns early at a bound or a KeyboardInterrupt."""
        began = time.perf_counter()
        try:
            for _ in self._layers():
                now = time.perf_counter()
                self.seconds = now - began
                if progress is not None:
                    progress(self.progress())
        except KeyboardInterrupt:
            pass
        finally:
            self.seconds = time.perf_counter() - began

    def progress(self) -> Progress:
        rate = self.states / self.seconds if self.seconds else 0.0
        return Progress(
            self.states, self.transitions, len(self._frontier), self.depth, rate, self.memory()
        )

    def memory(self) -> int:
        """Bytes of the visited set: the states, the table, the trail."""
        own = self._bytes + (_BYTES + _SET_ENTRY) * self.states
        return int(own) + self.trail.memory()

    def _layers(self) -> Iterator[None]:
        """Yields now and then, for the clock."""
        (start,) = self.model.init_states()
        self._visited.add(start)
        self._frontier = [(start, 0)]
        while self._frontier:
            following: list[tuple[bytes, int]] = []
            deadline = time.perf_counter() + _PAUSE
            for n in range(0, len(self._frontier), _LOOK_AT_CLOCK):
                self._expand(self._frontier[n : n + _LOOK_AT_CLOCK], following)
                if self._limit is not None and self.states >= self._limit:
                    return
                if self._first and self.violations:
                    return
                if time.perf_counter() > deadline:
                    yield
                    deadline = time.perf_counter() + _PAUSE
            self._frontier = following
            self.depth += bool(following)
        self.finished = True

    def _expand(self, states: list[tuple[bytes, int]], following: list[tuple[bytes, int]]) -> None:
        visited, trail, successors = self._visited, self.trail, self.model.successors
        retained = self.retained
        size = 0
        for state, number in states:
            moved = False
            for effect, after in successors(state):
                self.transitions += 1
                if effect.telling:
                    self._tell(effect, number)
                if after is None:
                    moved = True
                    continue
                if effect.changes:
                    moved = True
                if after not in visited:
                    visited.add(after)
                    size += len(after)
                    retained.add(after, number)
                    following.append((after, len(trail)))
                    trail.add(number, effect.action)
            if not moved:
                self._end(state, number)
        self._bytes += size

    def _tell(self, effect: Effect, at: int) -> None:
        if effect.violation is not None:
            self._violation(effect.violation, at, effect.action)
        load = effect.load
        if load is None:
            return
        self.together |= load.together
        self.reused |= load.reused
        key = (load.program, load.refused is not None, load.stuck)
        seen = self.loads.get(key)
        if seen is None:
            self.loads[key] = Seen(load, at, effect.action)
        else:
            seen.count += 1

    def _violation(self, violation: Violation, at: int, last: Action | None) -> None:
        seen = self.violations.get((violation.kind, str(violation)))
        if seen is None:
            self.violations[violation.kind, str(violation)] = Seen(violation, at, last)
        else:
            seen.count += 1

    def _end(self, state: bytes, number: int) -> None:
        """Nothing can happen any more: everything is closed."""
        leak = self.model.properties(state)
        if leak is not None:
            self._violation(leak, number, None)
        elif self.immortal is None and self.retained.count(state):
            self.immortal = Seen(None, number, None)


class Retained:
    """Allocators that have neither a map nor objects any more: how many at once, and for how many
    steps of the histories that were kept."""

    def __init__(self, model: Model) -> None:
        self.allocators = 0
        self._model = model
        self._steps = array("B", [0])
        self._known: dict[tuple[int, int, int], bool] = {}

    @property
    def steps(self) -> int:
        return max(self._steps)

    def count(self, state: bytes) -> int:
        store = self._model.store
        found = 0
        length = len(state)
        for n, (place, allocator, heap) in enumerate(self._model.allocators()):
            if place >= length or not state[place]:
                continue
            key = (n, store.number_in(state, allocator), store.number_in(state, heap))
            known = self._known.get(key)
            if known is None:
                is_closed = store.values[allocator][key[1]].closed
                known = self._known[key] = is_closed and not store.values[heap][key[2]].live
            found += known
        return found

    def add(self, state: bytes, parent: int) -> None:
        """A new state, in the order of the trail."""
        count = self.count(state)
        if count:
            self.allocators = max(self.allocators, count)
            self._steps.append(min(self._steps[parent] + 1, 255))
        else:
            self._steps.append(0)
