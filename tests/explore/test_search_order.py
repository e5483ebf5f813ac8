"""The search itself, on a puzzle: two jugs of 3 and 5 litres, and 4 litres are a violation."""

from __future__ import annotations

from collections.abc import Iterator

from bpfheap.errors import Violation
from bpfheap.explore.ledger import ViolationKey
from bpfheap.explore.model import ActionEffect, Successor
from bpfheap.explore.search import Search
from bpfheap.explore.world import Action

SIZES = (3, 5)


class Jugs:
    """States are the litres in the jugs; the larger one must not hold four."""

    def init_states(self) -> list[bytes]:
        return [bytes(2)]

    def actions(self, state: bytes) -> list[Action]:
        return [Action(verb, jug) for verb in ("fill", "empty", "pour") for jug in "01"]

    def next_state(self, state: bytes, action: Action) -> Successor:
        jugs, jug = list(state), int(action.subject)
        match action.verb:
            case "fill":
                jugs[jug] = SIZES[jug]
            case "empty":
                jugs[jug] = 0
            case "pour":
                moved = min(jugs[jug], SIZES[1 - jug] - jugs[1 - jug])
                jugs[jug] -= moved
                jugs[1 - jug] += moved
        effect = ActionEffect(action)
        if jugs[1] == 4:
            effect.violation = Violation("four litres", kind="leak")
            effect.recorded = True
            return effect, None
        return effect, bytes(jugs)

    def properties(self, state: bytes) -> Violation | None:
        raise AssertionError("there is always something to do")

    def successors(self, state: bytes) -> list[Successor]:
        return [self.next_state(state, action) for action in self.actions(state)]

    def retained(self, state: bytes) -> int:
        return 0


def test_the_first_history_is_a_shortest_one() -> None:
    search = Search(Jugs())
    search.run()
    ((wrong, seen),) = search.ledger.violations.items()
    assert wrong == ViolationKey("leak", "four litres")
    history = [str(action) for action in search.trail.to(seen.first)]
    assert history == ["fill 1", "pour 1", "empty 0", "pour 1", "fill 1", "pour 1"]
    assert search.finished


class Leaking(Jugs):
    """Jugs that can only be filled: what is in them at the end is a leak."""

    def actions(self, state: bytes) -> list[Action]:
        return [Action("fill", jug) for jug in "01"]

    def properties(self, state: bytes) -> Violation | None:
        return Violation("eight litres", kind="leak") if sum(state) == sum(SIZES) else None


def test_what_is_left_at_the_end_is_a_violation() -> None:
    search = Search(Leaking())
    search.run()
    ((wrong, seen),) = search.ledger.violations.items()
    assert wrong == ViolationKey("leak", "eight litres")
    assert [str(action) for action in search.trail.to(seen.first)] == ["fill 0", "fill 1"]
    assert seen.times == 1


def test_all_states_are_counted_once() -> None:
    reached = set(_reached(bytes(2)))
    search = Search(Jugs())
    search.run()
    assert search.states == len(reached) == 14
    assert search.transitions == 6 * len(reached)


def _reached(start: bytes) -> Iterator[bytes]:
    """Every state, depth first."""
    jugs, seen, todo = Jugs(), {start}, [start]
    while todo:
        state = todo.pop()
        yield state
        for _, after in jugs.successors(state):
            if after is not None and after not in seen:
                seen.add(after)
                todo.append(after)
