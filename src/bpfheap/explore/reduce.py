"""Why not all orders need to be visited.

Partial order: a step of a program that commutes with all that others can do, now or later, may as
well happen first (a persistent set of one action, Godefroid 1996). All histories are finite, so no
other action is put off for ever. Symmetry: CPUs that differ in nothing but their number may be
exchanged (Ip and Dill 1996). Objects have no names in a state, so they need no reduction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

from bpfheap.explore.cells import Cell, CellTable
from bpfheap.explore.plan import Plan
from bpfheap.explore.world import Action, Actor, MapUser
from bpfheap.lifetime import Policy
from bpfheap.machine.model.frozen import FrozenExecution, FrozenMap
from bpfheap.machine.model.values import Pointer
from bpfheap.platform.called import calls_of
from bpfheap.platform.calls import CALL_BY_NAME, Effect
from bpfheap.platform.maps import BY_NUMBER
from bpfheap.spec import MapSpec

if TYPE_CHECKING:
    from bpfheap.explore.tracked import StateView


@dataclass(frozen=True, slots=True)
class Reductions:
    """Which reductions are used."""

    partial_order: bool = True
    symmetry: bool = True


#: What is used unless somebody says otherwise.
ALL = Reductions()

Condition = Callable[[Sequence[Cell]], bool]


def independence(view: StateView, action: Action, changing: set[int]) -> Condition | None:
    """Whether an action commutes with all that others can do, asked before it is played. None: it
    does not. Else what decides, given the cells that it changed."""
    if action.verb == "create":
        user: MapUser | None = view.users.get(Actor("map", action.subject))
        # The first creation of a map commutes with all that can come before it, unless the policy
        # is told of it.
        unseen = type(view.constants.policy).map_created is Policy.map_created
        return (lambda _: True) if user is None and unseen else None
    if action.verb != "step":
        return None
    running = view.users[Actor("cpu", str(action.cpu))]
    execution = view.memory.executions[running[-1]]
    program = view.memory.programs[execution.program]
    row = CALL_BY_NAME.get(str(program.calls[execution.slot]))
    effect = Effect.SHARED if row is None else row.effect
    if effect is Effect.LOCAL:
        unlimited = view.constants.options.allocator_limit is None
        own = {Cell("execution", execution.id)}
        return (
            (lambda names: all(n in own or n.kind == "heap" for n in names)) if unlimited else None
        )
    if effect is Effect.FINDS:
        at = execution.registers[1]
        record = None
        if isinstance(at, Pointer):
            region = view.memory.regions.get(at.region)
            record = None if region is None else view.memory.maps.get(region.subject)
        if record is None or record.type.outer or record.id in changing:
            return None
        key = view.memory.read(execution.registers[2], record.spec.key_size)
        if key not in record.entries:
            return None
        mine = Cell("execution", execution.id)
        return lambda names: all(n == mine for n in names)
    return None


def reads_what_others_write(view: StateView) -> bool:
    """Whether a step read memory that programs and user space may write: then it matters when it
    happens, even if it changes nothing."""
    store = view.reader.store
    for cell in view.reader.reads:
        name = store.names[cell]
        if name.kind == "object":
            return True
        if name.kind == "value":
            assert isinstance(name.id, tuple)
            if not view.constants.maps[name.id[0]].readonly:
                return True
    return False


def unstable_maps(view: StateView, store: CellTable, changes: dict[int, int]) -> set[int]:
    """The maps of which an element went or became another one, other than by the map's free."""
    found = set()
    for cell, number in changes.items():
        name = store.names[cell]
        if name.kind != "content":
            continue
        old: FrozenMap | None = store.value(view.reader.state, cell)
        new: FrozenMap | None = store.values[cell][number]
        if old is None or new is None:
            continue
        entries = dict(new.entries)
        if any(entries.get(key) != regions for key, regions in old.entries):
            assert isinstance(name.id, int)
            found.add(name.id)
    return found


def _has_copies(spec: MapSpec) -> bool:
    """Whether a map, or those inside it, has values of each CPU."""
    inner = spec.inner is not None and _has_copies(spec.inner)
    return BY_NUMBER[spec.type].per_cpu or inner


class Symmetry:
    """The exchange of CPUs. Without nmi an execution's id is its CPU's number plus one."""

    def __init__(self, store: CellTable, plan: Plan) -> None:
        self._store = store
        self._cpus = range(plan.bounds.cpus)
        self._own = [
            (
                store.cell(Cell("execution", cpu + 1)),
                store.cell(Cell("running", cpu + 1)),
                store.cell(Cell("user", Actor("cpu", str(cpu)))),
            )
            for cpu in self._cpus
        ]
        self._shared = [store.cell(Cell("deferred")), store.cell(Cell("retired"))]
        self._known: dict[tuple[int, ...], tuple[tuple[int, int], ...]] = {}
        self._epoch = -1
        self._places: tuple[int, ...] = ()
        self._others: tuple[int, ...] = ()

    @staticmethod
    def holds(plan: Plan) -> bool:
        """Whether no program can tell one CPU from another."""
        if plan.bounds.cpus == 1 or plan.bounds.nmi:
            return False
        if any(_has_copies(m.spec) for m in plan.maps.values()):
            return False
        called = [row for p in plan.programs.values() for _, row in calls_of(p.spec)]
        # Of what has no row nobody knows.
        return not any(row is None or row.reads_cpu for row in called)

    def canonical(self, state: bytes) -> bytes:
        """The one state that stands for all that differ from it in the numbers of CPUs."""
        store = self._store
        if self._epoch != store.epoch or not self._places:
            self._epoch = store.epoch
            self._known.clear()
            cells = [c for own in self._own for c in own] + self._shared
            self._places = tuple(p for c in cells for p in store.places[c])
            self._others = tuple(p for own in self._own[1:] for p in store.places[own[0]])
        padded = state.ljust(store.width, b"\0")
        if not any(padded[p] for p in self._others):
            # At most the first CPU is busy.
            return state
        key = tuple([padded[p] for p in self._places])
        changes = self._known.get(key)
        if changes is None:
            epoch = store.epoch
            changes = self._changes(padded)
            if store.epoch != epoch:
                return self.canonical(state)
            self._known[key] = changes
        if not changes:
            return state
        return store.write(padded, changes)

    def order(self, state: bytes) -> tuple[int, ...]:
        """How `canonical` exchanges the CPUs: CPU n becomes order[n]."""
        return self._smallest(state.ljust(self._store.width, b"\0"))[0]

    def _changes(self, state: bytes) -> tuple[tuple[int, int], ...]:
        """To the smallest of all exchanges; nothing, if that is the state itself."""
        store = self._store
        changed: list[tuple[int, int]] = []
        for cell, value in self._smallest(state)[1].items():
            changed += store.digits(cell, store.number(cell, value))
        return tuple((p, b) for p, b in changed if p >= len(state) or state[p] != b)

    def _smallest(self, state: bytes) -> tuple[tuple[int, ...], dict[int, Any]]:
        best: tuple[tuple[int, ...], dict[int, Any]] = ((), {})
        smallest: Any = None
        for order in permutations(self._cpus):
            moved = self._moved(state, order)
            rank = [
                [self._rank(moved[own[0]]) for own in self._own],
                [[(v[0], sorted(v.readers)) for v in moved[c] or ()] for c in self._shared],
            ]
            if smallest is None or rank < smallest:
                best, smallest = (order, moved), rank
        return best

    def _rank(self, execution: FrozenExecution | None) -> tuple[Any, ...]:
        """An order of executions that does not depend on their CPU; idle CPUs come last."""
        if execution is None:
            return (1,)
        return (0, repr(execution._replace(cpu=0)))

    def _moved(self, state: bytes, order: Sequence[int]) -> dict[int, Any]:
        """What the cells hold when CPU n becomes order[n]."""
        store = self._store
        moved: dict[int, Any] = {}
        for cpu, own in enumerate(self._own):
            to = order[cpu]
            execution, running, user = (store.value(state, cell) for cell in own)
            target = self._own[to]
            moved[target[0]] = None if execution is None else execution._replace(cpu=to)
            moved[target[1]] = running
            moved[target[2]] = None if user is None else (to + 1,)
        for cell in self._shared:
            value = store.value(state, cell)
            moved[cell] = value and tuple(
                v._replace(readers=frozenset(order[r - 1] + 1 for r in v.readers)) for v in value
            )
        return moved
