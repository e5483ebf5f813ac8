"""Breadth first through all states, so that the first history found is a shortest one."""

from __future__ import annotations

import os
import sys
import time
from array import array
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

from bpfheap.explore.ledger import Ledger, Occurrence
from bpfheap.explore.model import Searchable
from bpfheap.explore.results import Progress
from bpfheap.explore.world import Action
from bpfheap.host import memory_of

#: Seconds between two reports of progress, and how many states are visited between two looks at
#: the clock.
PAUSE = 0.2
_LOOK_AT_CLOCK = 512
#: What a set of bytes takes of each element's place in its table, on average: 16 bytes, three
#: tenths to six tenths full.
_SET_ENTRY = 16 / 0.45
#: What a bytes object takes beyond its bytes, and the allocator's rounding up to 16, on average.
_BYTES = sys.getsizeof(b"") + 8

#: Seconds between two looks at how much memory all processes have, which takes long if it is much.
LOOK_AT_MEMORY = 0.5

Report = Callable[[Progress], None]


class Full(Exception):
    """Raised by whoever is told of a search's progress: it has taken the memory that there is."""


class SearchTree:
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

    def to(self, place: Occurrence) -> list[Action]:
        """The actions that lead to something."""
        found: list[Action] = [] if place.action is None else [place.action]
        state = place.state
        while state:
            found.append(self._known[self._actions[state]])
            state = self._parents[state]
        found.reverse()
        return found

    def memory(self) -> int:
        return sum(a.itemsize * len(a) for a in (self._parents, self._actions))


class Retained:
    """Allocators that have neither a map nor objects any more: how many at once, and for how many
    steps of the histories that were kept (1 byte a state)."""

    def __init__(self) -> None:
        self.allocators = 0
        self.steps = 0
        self._steps = array("B", [0])

    def add(self, allocators: int, parent: int) -> None:
        """A new state, in the order of the trail, and how many allocators it retains."""
        if not allocators:
            self._steps.append(0)
            return
        steps = min(self._steps[parent] + 1, 255)
        self._steps.append(steps)
        self.steps = max(self.steps, steps)
        self.allocators = max(self.allocators, allocators)


class Search:
    """One exploration. What is known so far is in the attributes, also when `run` was interrupted.

    `limit`: stop when there are so many states, at the end of a depth. `first`: stop at the end of
    the depth at which the first violation was found. `memory`: stop, anywhere, when all processes
    of the search together have so many bytes.
    """

    def __init__(
        self,
        model: Searchable,
        *,
        limit: int | None = None,
        first: bool = False,
        memory: int | None = None,
    ) -> None:
        self.model = model
        self.trail = SearchTree()
        self.ledger = Ledger()
        self.retained = Retained()
        self.transitions = 0
        self.depth = 0
        self.finished = False
        self.full = False
        self.seconds = 0.0
        self._limit = limit
        self._first = first
        self._most = memory
        self._looked = 0.0
        self._visited: set[bytes] = set()
        self._frontier: list[tuple[bytes, int]] = []
        self._bytes = 0

    @property
    def states(self) -> int:
        return len(self.trail)

    def run(self, progress: Report | None = None) -> None:
        """Visit everything; returns early at a bound or a KeyboardInterrupt."""
        began = time.perf_counter()
        try:
            with closing(self._layers()) as layers:
                for _ in layers:
                    self.seconds = time.perf_counter() - began
                    if progress is not None:
                        progress(self.progress())
                    self._look_at_memory()
        except KeyboardInterrupt:
            pass
        except Full:
            self.full = True
        finally:
            self.seconds = time.perf_counter() - began

    def progress(self) -> Progress:
        rate = self.states / self.seconds if self.seconds else 0.0
        return Progress(
            self.states, self.transitions, self._ahead(), self.depth, rate, self.memory()
        )

    def memory(self) -> int:
        """Bytes of the visited set: the states, the table, the trail."""
        own = self._bytes + (_BYTES + _SET_ENTRY) * self.states
        return int(own) + self.trail.memory()

    def _processes(self) -> list[int]:
        return [os.getpid()]

    def _look_at_memory(self) -> None:
        """Raise Full if all processes have more than they may."""
        now = time.monotonic()
        if self._most is None or now - self._looked < LOOK_AT_MEMORY:
            return
        self._looked = now
        if sum(map(memory_of, self._processes())) > self._most:
            raise Full

    def enough(self) -> bool:
        """Whether to stop before the next depth, though there is more."""
        return (self._limit is not None and self.states >= self._limit) or (
            self._first and bool(self.ledger.violations)
        )

    def _ahead(self) -> int:
        return len(self._frontier)

    def _layers(self) -> Generator[None, None, None]:
        """Yields now and then, for the clock."""
        (start,) = self.model.init_states()
        self._visited.add(start)
        self._frontier = [(start, 0)]
        deadline = time.perf_counter() + PAUSE
        while self._frontier:
            following: list[tuple[bytes, int]] = []
            for n in range(0, len(self._frontier), _LOOK_AT_CLOCK):
                self._expand(self._frontier[n : n + _LOOK_AT_CLOCK], following)
                if time.perf_counter() > deadline:
                    yield
                    deadline = time.perf_counter() + PAUSE
            self._frontier = following
            self.depth += bool(following)
            if following and self.enough():
                return
        self.finished = True

    def _expand(self, states: list[tuple[bytes, int]], following: list[tuple[bytes, int]]) -> None:
        visited, trail, model = self._visited, self.trail, self.model
        retained, size = self.retained, 0
        for state, number in states:
            found = model.successors(state)
            for turn, (effect, after) in enumerate(found):
                if effect.recorded:
                    self.ledger.record(effect, number, turn)
                if after is not None and after not in visited:
                    visited.add(after)
                    size += len(after)
                    retained.add(model.retained(after), number)
                    following.append((after, len(trail)))
                    trail.add(number, effect.action)
            self.transitions += len(found)
            if is_end(state, found):
                end(model, self.ledger, state, number)
        self._bytes += size


def is_end(state: bytes, found: list[tuple[Any, bytes | None]]) -> bool:
    """Nothing can happen any more that would change anything."""
    return all(after == state for _, after in found)


def end(model: Searchable, ledger: Ledger, state: bytes, number: int) -> None:
    """Everything is closed: look at what is left."""
    leak = model.properties(state)
    if leak is not None:
        ledger.violation(leak, Occurrence(number, -1, None))
    elif model.retained(state):
        ledger.left(Occurrence(number, -1, None))
