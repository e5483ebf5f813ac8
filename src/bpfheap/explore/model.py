"""All states of one scenario under one policy, and the ways between them.

`Model` is what a search needs: initial states, actions, next states. What an action does is found
out by playing it (tracked.Look) and then remembered together with the cells that it looked at; in
another state in which those hold the same, its outcome is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, TypeAlias

from bpfheap.errors import LoadRefused, Violation
from bpfheap.explore.cells import Cell, CellTable
from bpfheap.explore.plan import Plan
from bpfheap.explore.reduce import (
    Reductions,
    Symmetry,
    independence,
    reads_what_others_write,
    unstable_maps,
)
from bpfheap.explore.tracked import PlanConstants, StateView, first_state
from bpfheap.explore.world import Action, Actor, ProgramUser, World
from bpfheap.lifetime import Policy
from bpfheap.machine.model import ModelOptions

#: What is known: a place of a state and what follows by the byte there, or what was found out.
Tree: TypeAlias = "tuple[int, dict[int, Any]]"


class LoadOutcome(NamedTuple):
    """What came of a load.

    `program`: its label.
    `refused`: why it was refused, None if it was not.
    `stuck`: what stands in the way is an allocator that has neither a map nor objects any more.
    `together`, `reused`: as in results.Result.
    """

    program: str
    refused: str | None
    stuck: bool = False
    together: bool = False
    reused: bool = False


class ActionEffect:
    """What an action does in some states.

    `changes`: the bytes of the state that are other ones then: (place, byte).
    `load`: what came of a load; a refused one changes nothing.
    `violation`: what the machine saw; there is no state after it.
    `recorded`: the ledger takes note of it.
    `independent`: it commutes with all that others can do until it happens, so that it may as
        well happen first (a persistent set of one action).
    `moves_cpus`: it changes what runs on CPUs, so that exchanging them may give another state.
    """

    __slots__ = ("action", "changes", "independent", "load", "moves_cpus", "recorded", "violation")

    def __init__(self, action: Action) -> None:
        self.action = action
        self.changes: tuple[tuple[int, int], ...] = ()
        self.load: LoadOutcome | None = None
        self.violation: Violation | None = None
        self.recorded = False
        self.independent = False
        self.moves_cpus = False


#: What an action does, and the state after it: None where the way ends, in a violation. A refused
#: load stays where it was.
Successor: TypeAlias = "tuple[ActionEffect, bytes | None]"


class Searchable(Protocol):
    """What can be searched. `properties` gives what is wrong with a state in which nothing can
    happen any more, if anything is."""

    def init_states(self) -> list[bytes]: ...

    def actions(self, state: bytes) -> list[Action]: ...

    def next_state(self, state: bytes, action: Action) -> Successor: ...

    def properties(self, state: bytes) -> Violation | None: ...

    def successors(self, state: bytes) -> list[Successor]:
        """`next_state` of all `actions`, or of as many as are enough."""

    def retained(self, state: bytes) -> int:
        """How many allocators have neither a map nor objects any more."""


class Unstable(Exception):
    """An assumption of the reduction turned out to be wrong: begin again without it. `changing`
    are all maps whose elements are known to go."""

    def __init__(self, changing: frozenset[int]) -> None:
        super().__init__(changing)
        self.changing = changing


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
        store: CellTable | None = None,
    ) -> None:
        """`changing` are maps whose elements may go; `remember` False plays every action anew;
        `store` is one that others share."""
        bounds = plan.bounds
        options = ModelOptions(cpus=bounds.cpus, allocator_limit=bounds.objects, history_limit=0)
        self.plan = plan
        self.store = CellTable() if store is None else store
        self.constants = PlanConstants(plan, policy, options)
        self.changing = set(changing)
        self.reductions = reductions
        self._remember = remember
        self._symmetry = (
            Symmetry(self.store, plan) if reductions.symmetry and Symmetry.holds(plan) else None
        )
        self._actors: list[Actor] = World(plan, self._view(b"").system).actors()
        self._actions: dict[int, Action] = {}
        #: Trees, by the number of an actor and of an action.
        self._enabled: dict[int, Any] = {}
        self._effects: dict[int, Any] = {}
        self._epoch = 0
        #: Of each allocator: the low byte's place of its cell, that cell, the cell of its counts.
        self._allocators: list[tuple[int, int, int]] = []
        for allocator in self.constants.allocators[1:]:
            cell = self.store.cell(Cell("allocator", allocator))
            heap = self.store.cell(Cell("heap", allocator))
            self._allocators.append((self.store.places[cell][0], cell, heap))
        self._idle: dict[tuple[int, int, int], bool] = {}
        #: How often something was played, and not remembered.
        self.played = 0

    def init_states(self) -> list[bytes]:
        return [first_state(self.store, self.constants)]

    def actions(self, state: bytes) -> list[Action]:
        """All actions that are possible, whatever the reductions say."""
        padded = self._padded(state)
        return [
            self.action(number)
            for n, actor in enumerate(self._actors)
            for number in self._ask(padded, n, actor).actions
        ]

    def next_state(self, state: bytes, action: Action) -> Successor:
        effect = self._effect(self._padded(state), self.store.name(action))
        return effect, self._after(state, effect)

    def properties(self, state: bytes) -> Violation | None:
        return self._view(state).world.leaks()

    def retained(self, state: bytes) -> int:
        """How many allocators have neither a map nor objects any more."""
        store, length, found = self.store, len(state), 0
        for n, (place, allocator, heap) in enumerate(self._allocators):
            if place >= length or not state[place]:
                continue
            key = (n, store.number_in(state, allocator), store.number_in(state, heap))
            known = self._idle.get(key)
            if known is None:
                closed = store.values[allocator][key[1]].closed
                known = self._idle[key] = closed and not store.values[heap][key[2]].live
            found += known
        return found

    def successors(self, state: bytes) -> list[Successor]:
        # The one loop that everything waits for: the two searches in trees are written out.
        padded = self._padded(state)
        enabled, known = self._enabled, self._effects
        effects: list[ActionEffect] = []
        for number, actor in enumerate(self._actors):
            node = enabled.get(number)
            while type(node) is tuple:
                node = node[1].get(padded[node[0]])
            if node is None:
                node = self._ask(padded, number, actor)
                padded = self._padded(state)
            for action in node.actions:
                effect = known.get(action)
                while type(effect) is tuple:
                    effect = effect[1].get(padded[effect[0]])
                if effect is None:
                    effect = self._play(padded, action)
                    padded = self._padded(state)
                if effect.independent:
                    return [(effect, self._after(padded, effect))]
                effects.append(effect)
        found: list[Successor] = []
        symmetry = self._symmetry
        for effect in effects:
            if effect.violation is not None:
                found.append((effect, None))
                continue
            changed = bytearray(padded)
            for place, byte in effect.changes:
                changed[place] = byte
            after = bytes(changed).rstrip(b"\0")
            if effect.moves_cpus and symmetry is not None:
                after = symmetry.canonical(after)
            found.append((effect, after))
        return found

    def as_played(self, actions: Iterable[Action]) -> list[Action]:
        """The actions of a way through the states, with the CPUs as they are when nobody
        exchanges them."""
        if self._symmetry is None:
            return list(actions)
        found = []
        (state,) = self.init_states()
        cpus = list(range(self.plan.bounds.cpus))
        for action in actions:
            found.append(action if action.cpu is None else action._replace(cpu=cpus[action.cpu]))
            effect = self._effect(self._padded(state), self.store.name(action))
            if effect.violation is not None:
                break
            after = self._changed(state, effect)
            if effect.moves_cpus:
                order = self._symmetry.order(after)
                cpus = [cpus[order.index(n)] for n in range(len(cpus))]
                after = self._symmetry.canonical(after)
            state = after
        return found

    # -- inside

    def _padded(self, state: bytes) -> bytes:
        """With all its zeros, to look it up in what was learnt."""
        self._forget_if_void()
        return state.ljust(self.store.width, b"\0")

    def _view(self, state: bytes) -> StateView:
        return StateView(self.store, state, self.constants, any_cpu=self._symmetry is not None)

    def _ask(self, padded: bytes, number: int, actor: Actor) -> _Possible:
        """What an actor can do."""
        view = self._view(padded)
        actions = [self.store.name(action) for action in view.world.enabled(actor)]
        found = _Possible(tuple(actions))
        self._learn(self._enabled, number, view, found)
        return found

    def action(self, number: int) -> Action:
        found = self._actions.get(number)
        if found is None:
            found = self._actions[number] = self.store.named(number)
        return found

    def _effect(self, padded: bytes, number: int) -> ActionEffect:
        node = self._effects.get(number)
        while type(node) is tuple:
            node = node[1].get(padded[node[0]])
        return node if node is not None else self._play(padded, number)

    def _after(self, state: bytes, effect: ActionEffect) -> bytes | None:
        if effect.violation is not None:
            return None
        after = self._changed(state, effect)
        if effect.moves_cpus and self._symmetry is not None:
            return self._symmetry.canonical(after)
        return after

    def _changed(self, state: bytes, effect: ActionEffect) -> bytes:
        changed = bytearray(state.ljust(self.store.width, b"\0"))
        for place, byte in effect.changes:
            changed[place] = byte
        return bytes(changed).rstrip(b"\0")

    def _play(self, state: bytes, number: int) -> ActionEffect:
        self.played += 1
        action = self.action(number)
        effect = ActionEffect(action)
        view = self._view(state)
        before = independence(view, action, self.changing)
        facts = _load_facts(view.world, action) if action.verb == "load" else None
        refused = None
        try:
            refused = view.world.do(action)
        except Violation as violation:
            effect.violation = violation
        if facts is not None:
            effect.load = facts if refused is None else _refused(view.world, facts, refused)
        effect.recorded = effect.violation is not None or effect.load is not None
        if refused is None and effect.violation is None:
            changes = view.changes()
            reduce = self.reductions.partial_order
            gone = unstable_maps(view, self.store, changes) - self.changing
            if gone and reduce:
                self.changing |= gone
                raise Unstable(frozenset(self.changing))
            effect.changes = tuple(
                digit
                for cell, number in changes.items()
                for digit in self.store.digits(cell, number)
            )
            names = [self.store.names[cell] for cell in changes]
            effect.independent = (
                reduce
                and before is not None
                and before(names)
                and not reads_what_others_write(view)
            )
            effect.moves_cpus = any(n.kind in ("execution", "running") for n in names)
        self._learn(self._effects, number, view, effect)
        return effect

    def _forget_if_void(self) -> None:
        """A cell got one more byte: what was learnt does not look at it."""
        if self._epoch != self.store.epoch:
            self._epoch = self.store.epoch
            self._enabled.clear()
            self._effects.clear()

    def _learn(self, known: dict[Any, Any], key: Any, view: StateView, found: Any) -> None:
        self._forget_if_void()
        if not self._remember:
            return
        store = self.store
        state = view.reader.state.ljust(store.width, b"\0")
        places = [place for cell in view.reader.reads for place in store.places[cell]]
        _insert(known, key, places, state, found)


def _load_facts(world: World, action: Action) -> LoadOutcome:
    """What a load that is let in would show of the policy."""
    plan, mine = world.plan, world.plan.stores(action.subject)
    together = reused = False
    for label in plan.programs:
        user: ProgramUser = world.users.get(Actor("program", label), ProgramUser())
        for ours in mine:
            for theirs in plan.stores(label):
                if ours.field != theirs.field:
                    continue
                other = ours.allocator != theirs.allocator
                together |= other and user.fd is not None
                gone = (
                    world.is_gone(theirs.allocator) if other else world.creates(ours.allocator) > 1
                )
                reused |= user.loads > 0 and gone and world.creates(ours.map) == 1
    return LoadOutcome(action.subject, None, False, together, reused)


def _refused(world: World, facts: LoadOutcome, refused: LoadRefused) -> LoadOutcome:
    allocator, system = refused.allocator, world.system
    stuck = False
    if allocator is not None:
        known = system.allocators.get(allocator)
        stuck = known is None or (known.closed and not system.live(allocator))
    return LoadOutcome(facts.program, refused.message, stuck)


class _Possible:
    """The numbers of the actions of an actor; not a tuple, which would be a Tree."""

    __slots__ = ("actions",)

    def __init__(self, actions: tuple[int, ...]) -> None:
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
