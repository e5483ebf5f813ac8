"""All states of one scenario under one policy, and the ways between them.

`Model` is what a search needs: initial states, actions, next states. What an action does is found
out by playing it (tracked.Look) and then remembered together with the cells that it looked at; in
another state in which those hold the same, its outcome is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, TypeAlias

from bpfheap.errors import Violation
from bpfheap.explore.cells import Cell, Store
from bpfheap.explore.plan import Plan
from bpfheap.explore.reduce import Reductions, Symmetry, is_private, unstable_maps
from bpfheap.explore.tracked import Lasting, Look, first_state
from bpfheap.explore.world import Action, Actor, World
from bpfheap.lifetime import Policy
from bpfheap.machine.model import Options

#: What is known: a place of a state and what follows by the byte there, or what was found out.
Tree: TypeAlias = "tuple[int, dict[int, Any]]"


class Effect:
    """What an action does in some states. One of `refused` (why the load was) and `violation` may
    be set: then the state does not change. `private`: nobody else can tell when it happens."""

    __slots__ = ("action", "changes", "moves_cpus", "private", "refused", "violation")

    def __init__(self, action: Action) -> None:
        self.action = action
        self.changes: tuple[tuple[int, int], ...] = ()
        self.refused: str | None = None
        self.violation: Violation | None = None
        self.private = False
        self.moves_cpus = False


class Successor(NamedTuple):
    """`state` is None where the way ends: in a violation. A refused load stays where it was."""

    effect: Effect
    state: bytes | None


class Searchable(Protocol):
    """What can be searched. `properties` gives what is wrong with a state in which nothing can
    happen any more, if anything is."""

    def init_states(self) -> list[bytes]: ...

    def actions(self, state: bytes) -> list[Action]: ...

    def next_state(self, state: bytes, action: Action) -> Successor: ...

    def properties(self, state: bytes) -> Violation | None: ...

    def successors(self, state: bytes) -> list[Successor]:
        """`next_state` of all `actions`, or of as many as are enough."""


class Unstable(Exception):
    """An assumption of the reduction turned out to be wrong: begin again without it."""


class Model:
    """The states of a plan under a policy; raises Unstable from `successors`."""

    def __init__(
        self,
        plan: Plan,
        policy: Policy,
        reductions: Reductions,
        *,
        changing: frozenset[int] = frozenset(),
        remember: bool = True,
    ) -> None:
        """`changing` are maps whose elements may go; `remember` False plays every action anew."""
        bounds = plan.bounds
        options = Options(cpus=bounds.cpus, allocator_limit=bounds.objects, history_limit=0)
        self.plan = plan
        self.store = Store()
        self.lasting = Lasting(plan, policy, options)
        self.changing = set(changing)
        self.reductions = reductions
        self._remember = remember
        self._symmetry = (
            Symmetry(self.store, plan)
            if reductions.symmetry and Symmetry.holds(plan, policy)
            else None
        )
        self._actors: list[Actor] = World(plan, self._look(b"").system).actors()
        self._enabled: dict[Actor, Any] = {}
        self._effects: dict[Action, Any] = {}
        self._epoch = 0
        #: How often something was played, and not remembered.
        self.played = 0

    def init_states(self) -> list[bytes]:
        return [first_state(self.store, self.lasting)]

    def actions(self, state: bytes) -> list[Action]:
        """All actions that are possible, whatever the reductions say."""
        return [a for actor in self._actors for a in self._possible(state, actor)]

    def next_state(self, state: bytes, action: Action) -> Successor:
        effect = self._effect(self._padded(state), action)
        return Successor(effect, self._after(state, effect))

    def properties(self, state: bytes) -> Violation | None:
        return self._look(state).world.leaks()

    def look(self, state: bytes) -> World:
        """The runtime in a state, to be asked and not to be changed."""
        return self._look(state).world

    def successors(self, state: bytes) -> list[Successor]:
        found: list[Successor] = []
        padded = self._padded(state)
        reduce = self.reductions.partial_order
        for actor in self._actors:
            for action in self._possible(padded, actor):
                effect = self._effect(padded, action)
                if reduce and effect.private:
                    return [Successor(effect, self._after(padded, effect))]
                found.append(Successor(effect, self._after(padded, effect)))
                if len(padded) != self.store.width:
                    padded = self._padded(state)
        return found

    # -- inside

    def _padded(self, state: bytes) -> bytes:
        return state.ljust(self.store.width, b"\0")

    def _look(self, state: bytes) -> Look:
        any_cpu = self._symmetry is not None if hasattr(self, "_symmetry") else False
        return Look(self.store, state, self.lasting, any_cpu=any_cpu)

    def _possible(self, padded: bytes, actor: Actor) -> tuple[Action, ...]:
        node = self._enabled.get(actor)
        while type(node) is tuple:
            node = node[1].get(padded[node[0]])
        if node is not None:
            return node.actions  # type: ignore[no-any-return]
        look = self._look(padded)
        found = _Possible(tuple(look.world.enabled(actor)))
        self._learn(self._enabled, actor, look, found)
        return found.actions

    def _effect(self, padded: bytes, action: Action) -> Effect:
        node = self._effects.get(action)
        while type(node) is tuple:
            node = node[1].get(padded[node[0]])
        return node if node is not None else self._play(padded, action)

    def _after(self, state: bytes, effect: Effect) -> bytes | None:
        if effect.violation is not None:
            return None
        changed = bytearray(state.ljust(self.store.width, b"\0"))
        for place, byte in effect.changes:
            changed[place] = byte
        after = bytes(changed).rstrip(b"\0")
        if effect.moves_cpus and self._symmetry is not None:
            return self._symmetry.canonical(after)
        return after

    def _play(self, state: bytes, action: Action) -> Effect:
        self.played += 1
        effect = Effect(action)
        look = self._look(state)
        before = is_private(look, action, self.changing)
        try:
            effect.refused = look.world.do(action)
        except Violation as violation:
            effect.violation = violation
        if effect.refused is None and effect.violation is None:
            changes = look.changes()
            gone = unstable_maps(look, self.store, changes) - self.changing
            if gone and self.reductions.partial_order:
                self.changing |= gone
                raise Unstable
            effect.changes = tuple(
                digit for cell, number in changes.items() for digit in self.store.digits(cell, number)
            )
            names = [self.store.names[cell] for cell in changes]
            effect.private = before is not None and before(names)
            effect.moves_cpus = any(n.kind in ("execution", "running") for n in names)
        self._learn(self._effects, action, look, effect)
        return effect

    def _learn(self, known: dict[Any, Any], key: Any, look: Look, found: Any) -> None:
        if self._epoch != self.store.epoch:
            # A cell got one more byte: what was learnt does not look at it.
            self._epoch = self.store.epoch
            self._enabled.clear()
            self._effects.clear()
        if not self._remember:
            return
        store = self.store
        state = look.frame.state.ljust(store.width, b"\0")
        places = [place for cell in look.frame.reads for place in store.places[cell]]
        _insert(known, key, places, state, found)


class _Possible:
    """The actions of an actor; not a tuple, which would be a Tree."""

    __slots__ = ("actions",)

    def __init__(self, actions: tuple[Action, ...]) -> None:
        self.actions = actions


def _insert(
    known: dict[Any, Any], key: Any, places: Iterable[int], state: bytes, found: Any
) -> None:
    """Add a branch for what stands at `places`. What was read first decides what is read next, so
    branches agree as far as they go together."""
    table, at = known, key
    for place in places:
        node = table.get(at)
        if node is None:
            node = table[at] = (place, {})
        assert node[0] == place, "an action looked at something else in the same situation"
        table, at = node[1], state[place]
    table[at] = found
