"""A runtime whose state is looked at piece by piece.

System, policy and model machine are the ones that users run. Only where they keep their state is
different: a piece is taken from a state of the explorer when it is first read, and what was
changed is written back at the end. So it is known of every action what its outcome depends on,
and an action that would meet the same pieces again need not be played again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

from bpfheap.btf import Struct
from bpfheap.explore.cells import Cell, CellReader, CellTable, Lazy
from bpfheap.explore.plan import Plan, ProgramPlan
from bpfheap.explore.world import World
from bpfheap.lifetime import Policy
from bpfheap.machine.layout import ObjectType, Types
from bpfheap.machine.model import ModelMachine, ModelOptions
from bpfheap.machine.model.frozen import (
    Freezer,
    FrozenMap,
    MapConstants,
    constants_of,
    freeze_allocator,
    freeze_map,
    home,
    region_id,
    thaw_map,
)
from bpfheap.machine.model.interp import LoadedProgram
from bpfheap.machine.model.records import AllocatorRecord, Region, RegionKind, StateToken, Status
from bpfheap.machine.model.state import MachineState
from bpfheap.platform.maps import ALLOCATOR_NUMBER
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID
from bpfheap.runtime.objects import Handle, HandleType
from bpfheap.runtime.system import System
from bpfheap.spec import MapSpec
from bpfheap.verifier.analysis.cfg import Cfg
from bpfheap.verifier.analysis.liveness import live_at

#: Descriptors of one object at one time.
_FDS = 4


class PlannedIds:
    """All ids that objects can ever have: one for each time that something may be created, so that
    an id does not depend on the order of events."""

    def __init__(self, plan: Plan) -> None:
        self._first: dict[tuple[HandleType | None, str], int] = {}
        self._next = GLOBAL_ALLOCATOR_ID + 1
        bounds = plan.bounds
        self.maps: tuple[int, ...] = ()
        opens = bounds.loads * len(plan.programs)
        for name, planned in plan.maps.items():
            times = plan.creates(name)
            opens += times
            self.maps += self._reserve(HandleType.MAP, name, times)
            if planned.spec.type == ALLOCATOR_NUMBER:
                self._reserve(None, name, times)
        # Each load of a program may make the data sections of its file.
        sections = [spec for p in plan.programs.values() for spec in p.sections.values()]
        names = [spec.identity for spec in sections]
        self._sections: dict[int, MapSpec] = {}
        for spec in sections:
            times = names.count(spec.identity) * bounds.loads
            reserved = self._reserve(HandleType.MAP, spec.identity, times)
            self._sections.update(dict.fromkeys(reserved, spec))
        self.maps += tuple(self._sections)
        self.programs: tuple[int, ...] = ()
        self._program_plans: dict[int, ProgramPlan] = {}
        for p in plan.programs.values():
            key = f"{p.spec.file}:{p.spec.name}"
            reserved = self._reserve(HandleType.PROGRAM, key, bounds.loads)
            self.programs += reserved
            self._program_plans.update(dict.fromkeys(reserved, p))
        for obj in plan.files:
            self._reserve(HandleType.BTF, obj.btf.file or "", opens)
        self.executions = tuple(range(1, bounds.cpus * (2 if bounds.nmi else 1) + 1))

    def _reserve(self, kind: HandleType | None, name: str, times: int) -> tuple[int, ...]:
        first = self._first.setdefault((kind, name), self._next)
        if first == self._next:
            self._next += times
        return tuple(range(first, first + times))

    @property
    def allocators(self) -> tuple[int, ...]:
        found = [GLOBAL_ALLOCATOR_ID]
        for (kind, _), first in self._first.items():
            if kind is None:
                following = [f for f in self._first.values() if f > first]
                found += range(first, min(following, default=self._next))
        return tuple(found)

    def constants(self, plan: Plan) -> dict[int, MapConstants]:
        """Of all maps that there can be."""
        found = {map_id: constants_of(spec, None) for map_id, spec in self._sections.items()}
        for name, planned in plan.maps.items():
            for number in range(plan.creates(name)):
                is_allocator = planned.spec.type == ALLOCATOR_NUMBER
                allocator = self.of(None, name, number) if is_allocator else None
                found[self.of(HandleType.MAP, name, number)] = constants_of(planned.spec, allocator)
        return found

    def program_plan(self, program: int) -> ProgramPlan:
        return self._program_plans[program]

    def of(self, kind: HandleType | None, name: str, number: int) -> int:
        return self._first[kind, name] + number


class PlanConstants:
    """What states refer to and never changes: definitions, programs, live registers."""

    def __init__(self, plan: Plan, policy: Policy, options: ModelOptions) -> None:
        self.plan = plan
        self.policy = policy
        self.options = options
        self.ids = PlannedIds(plan)
        self.allocators = self.ids.allocators
        self.maps: dict[int, MapConstants] = {}
        self.programs: dict[tuple[int, tuple[int, ...]], LoadedProgram] = {}
        self._specs: list[MapSpec] = []
        self._spec_numbers: dict[int, int] = {}
        self._live: dict[int, list[int]] = {}
        self.freezer = Freezer(self.live, self.object_type)
        self.maps.update(self.ids.constants(plan))
        # In this order in all processes.
        for obj in plan.files:
            for spec in obj.maps.values():
                self.spec_number(spec)

    def spec_number(self, spec: MapSpec) -> int:
        number = self._spec_numbers.get(id(spec))
        if number is None:
            number = self._spec_numbers[id(spec)] = len(self._specs)
            self._specs.append(spec)
        return number

    def spec(self, number: int) -> MapSpec:
        return self._specs[number]

    def program(self, number: int, maps: tuple[int, ...], state: TrackedState) -> LoadedProgram:
        """A loaded program. Another process may have loaded it: then it is made here, too, in an
        empty state with the same maps."""
        found = self.programs.get((number, maps))
        if found is None:
            apart = TrackedState(CellReader(state.reader.store, b""), self)
            for m in maps:
                region = region_id(RegionKind.MAP, m)
                apart.maps[m] = thaw_map(apart, m, FrozenMap(), self.maps[m], region)
            machine = ModelMachine.over(apart, {}, self.options)
            plan = self.ids.program_plan(number)
            names = dict.fromkeys(r.name for r in plan.spec.refs.values())
            by_name = {self.maps[m].spec.name: m for m in maps}
            used = {n: by_name[n] for n in names if n in by_name}
            machine.program_load(number, plan.spec, used, plan.verdict.facts)
            found = self.programs[number, maps] = machine.loaded(number)
        return found

    def object_type(self, key: Hashable) -> ObjectType:
        """A type of objects by what tells them apart, out of the files."""
        assert isinstance(key, tuple)
        for obj in self.plan.files:
            types = Types(obj.btf)
            for type_id, kind in enumerate(obj.btf):
                if isinstance(kind, Struct) and (kind.name or "(anonymous)") == key[0]:
                    found = types.object(type_id)
                    if found is not None and found.key == key:
                        return found
        raise KeyError(key)  # pragma: no cover - states name no other types

    def live(self, program: int, slot: int) -> int:
        """What a program may still read, from a slot on."""
        plan = self.ids.program_plan(program)
        spec = plan.spec
        found = self._live.get(id(spec))
        if found is None:
            found = live_at(Cfg(spec), spec, plan.maps)
            self._live[id(spec)] = found
        return found[slot]


class TrackedRegions(dict[int, Region]):
    """Regions by id. Those of objects and executions come with their owners."""

    def __init__(self, state: TrackedState, constants: PlanConstants) -> None:
        super().__init__()
        self._state = state
        self._constants = constants
        self.values_touched: dict[tuple[int, int], None] = {}
        self.objects_touched: dict[int, None] = {}
        self._known: set[int] = set()

    def _touch(self, region: int) -> None:
        if region in self._known:
            return
        self._known.add(region)
        at = home(region)
        if at is None:
            return
        state = self._state
        if at.kind is RegionKind.VALUE:
            key = (at.owner, at.number)
            self.values_touched[key] = None
            frozen = state.reader.read(Cell("value", key))
            if frozen is not None:
                constants = self._constants.maps[at.owner]
                thawed = self._constants.freezer.thaw_value(
                    state, region, at.owner, frozen, constants
                )
                super().__setitem__(region, thawed)
        elif at.kind is RegionKind.OBJECT:
            self.objects_touched[at.owner] = None
            apart = state.reader.read(Cell("object", at.owner))
            if apart is not None:
                thawed = self._constants.freezer.thaw_apart(state, region, apart)
                super().__setitem__(region, thawed)
        elif at.kind is RegionKind.STACK:
            state.executions.touch(at.owner)  # type: ignore[attr-defined]
        elif at.kind is RegionKind.MAP:
            state.maps.touch(at.owner)  # type: ignore[attr-defined]
            record = state.maps.get(at.owner)
            if record is not None:
                self._opaque(region, RegionKind.MAP, f"map {record.spec.name}", at.owner)
        else:
            program = state.programs.get(at.owner)
            if program is not None:
                self._opaque(region, RegionKind.CODE, f"the code of {program.name}", at.owner)

    def _opaque(self, region: int, kind: RegionKind, name: str, subject: int) -> None:
        made = Region(region, kind, name, bytearray(), 0, self._state.token, subject=subject)
        super().__setitem__(region, made)

    def _touch_all(self) -> None:
        state = self._state
        for record in tuple(state.maps.values()):
            self._touch(record.region)
            for regions in record.entries.values():
                for region in regions:
                    self._touch(region)
        for retired in state.retired:
            for region in retired.regions:
                self._touch(region)
        tuple(state.executions)
        for number in range(state.objects):
            self._touch(region_id(RegionKind.OBJECT, number))

    def __getitem__(self, region: int) -> Region:
        self._touch(region)
        return super().__getitem__(region)

    def get(self, region: int, default: Any = None) -> Any:
        self._touch(region)
        return super().get(region, default)

    def __contains__(self, region: object) -> bool:
        self._touch(region)  # type: ignore[arg-type]
        return super().__contains__(region)

    def __setitem__(self, region: int, value: Region) -> None:
        self._touch(region)
        super().__setitem__(region, value)

    def __delitem__(self, region: int) -> None:
        self._touch(region)
        super().__delitem__(region)

    def pop(self, region: int, *default: Any) -> Any:
        self._touch(region)
        return super().pop(region, *default)

    def __iter__(self) -> Iterator[int]:
        self._touch_all()
        return super().__iter__()

    def values(self) -> Any:
        self._touch_all()
        return super().values()

    def now(self, region: int) -> Region | None:
        return super().get(region)


#: What single values of a state are where nothing else was written.
_STATE_DEFAULTS: Mapping[str, Any] = {
    "retired": (),
    "clock": 0,
    "random": 0,
    "growths": 0,
    "objects": 0,
    "next_address": MachineState().next_address,
    "world": MachineState().world,
}
_SYSTEM_DEFAULTS: Mapping[str, Any] = {"policy": None, "deferred": (), "walks": ()}


class TrackedState(MachineState):
    """The machine's state. A single value is read when it is first asked for, as Python then calls
    `__getattr__`. `objects` is how many objects with numbers there are."""

    __slots__ = ("loaded", "objects", "programs", "reader")
    objects: int

    def __init__(self, reader: CellReader, constants: PlanConstants) -> None:
        self.reader = reader
        self.loaded: set[str] = set()
        self.token = StateToken()
        self.names: dict[str, int] = {}
        self.next_region = 1 << 60
        ids = constants.ids
        freezer = constants.freezer
        self.programs: Lazy[int, LoadedProgram] = Lazy(
            reader, "code", ids.programs, lambda p, maps: constants.program(p, maps, self)
        )
        self.maps = Lazy(
            reader,
            "content",
            ids.maps,
            lambda m, f: thaw_map(self, m, f, constants.maps[m], region_id(RegionKind.MAP, m)),
        )
        self.allocators = Lazy(reader, "heap", constants.allocators)
        self.executions = Lazy(
            reader, "execution", ids.executions, lambda e, f: freezer.thaw_execution(self, e, f)
        )
        self.regions = TrackedRegions(self, constants)

    def __getattr__(self, name: str) -> Any:
        value = self.reader.read(Cell(name))
        self.loaded.add(name)
        value = _STATE_DEFAULTS[name] if value is None else value
        setattr(self, name, value)
        return value

    def new_region_id(self, kind: RegionKind, subject: int, *, apart: bool) -> int:
        """Of maps, code and map values the lowest free one that says where it belongs; of a part by
        itself the next number."""
        if apart:
            number = self.objects
            self.objects = number + 1
            return region_id(RegionKind.OBJECT, number)
        if kind in (RegionKind.MAP, RegionKind.CODE):
            return region_id(kind, subject)
        if kind is RegionKind.VALUE:
            index = 0
            while region_id(kind, subject, index) in self.regions:
                index += 1
            return region_id(kind, subject, index)
        return super().new_region_id(kind, subject, apart=apart)

    def settle(self) -> None:
        """While nothing runs, nothing points to freed objects, and their numbers are free again."""
        if not self.objects or self.executions:
            return
        for number in range(self.objects):
            region = self.regions.get(region_id(RegionKind.OBJECT, number))
            if region is not None and region.status is Status.FREED:
                del self.regions[region.id]
        while self.objects and region_id(RegionKind.OBJECT, self.objects - 1) not in self.regions:
            self.objects -= 1

    def crowded(self) -> bool:
        return False


class TrackedSystem(System):
    """As TrackedState does it, for the System's part."""

    def __init__(self, reader: CellReader, constants: PlanConstants, machine: ModelMachine) -> None:
        self.reader = reader
        self.constants = constants
        self.loaded: set[str] = set()
        self.machine = machine
        self.strict_identity = False
        ids = constants.ids
        self.maps = Lazy(reader, "map", ids.maps)
        self.programs = Lazy(reader, "program", ids.programs)
        self.allocators = Lazy(reader, "allocator", constants.allocators)
        self.btfs = Lazy(reader, "btf")
        self.fds = Lazy(reader, "fd")
        self.pins = Lazy(reader, "pin")
        self.running = Lazy(reader, "running", ids.executions)
        self.definitions = Lazy(
            reader, "definition", None, lambda _, specs: tuple(constants.spec(n) for n in specs)
        )
        self.created: Lazy[tuple[HandleType | None, str], int] = Lazy(reader, "created")

    def __getattr__(self, name: str) -> Any:
        if name not in _SYSTEM_DEFAULTS:
            raise AttributeError(name)
        value = self.reader.read(Cell(name))
        self.loaded.add(name)
        value = _SYSTEM_DEFAULTS[name] if value is None else value
        setattr(self, name, value)
        return value

    def _new_id(self, kind: HandleType | None, name: str) -> int:
        number = self.created.get((kind, name), 0)
        self.created[kind, name] = number + 1
        return self.constants.ids.of(kind, name, number)

    def _new_fd(self, handle: Handle) -> int:
        return next(n for n in range(handle.id * _FDS, (handle.id + 1) * _FDS) if n not in self.fds)


class StateView:
    """A runtime and a World on one state, which tell what was read of it and what changed."""

    def __init__(
        self, store: CellTable, state: bytes, constants: PlanConstants, *, any_cpu: bool
    ) -> None:
        self.reader = CellReader(store, state)
        self.constants = constants
        self.memory = TrackedState(self.reader, constants)
        machine = ModelMachine.over(self.memory, self.memory.programs, constants.options)
        if constants.policy.watches_objects:
            machine.object_events = []
        self.system = TrackedSystem(self.reader, constants, machine)
        users: Lazy[Any, Any] = Lazy(self.reader, "user")
        self.users = users
        self.world = World(constants.plan, self.system, users, any_cpu=any_cpu)

    def touch(self, name: Cell) -> None:
        """Look at one cell, as an action would."""
        for lazy in (*self._plain(), self.system.definitions, self.memory.allocators,
                     self.memory.maps, self.memory.programs, self.memory.executions):  # fmt: skip
            if isinstance(lazy, Lazy) and lazy.kind == name.kind:
                lazy.touch(name.id)
                return
        if name.kind == "value":
            assert isinstance(name.id, tuple)
            self.memory.regions.get(region_id(RegionKind.VALUE, *name.id))
        elif name.kind == "object":
            assert isinstance(name.id, int)
            self.memory.regions.get(region_id(RegionKind.OBJECT, name.id))
        else:
            getattr(self.memory if name.kind in _STATE_DEFAULTS else self.system, name.kind)

    def _plain(self) -> tuple[Lazy[Any, Any], ...]:
        """What holds its items as they are."""
        system = self.system
        return (
            system.maps, system.programs, system.allocators, system.btfs, system.fds, system.pins,
            system.running, system.created, self.users,
        )  # type: ignore[return-value]  # fmt: skip

    def changes(self) -> dict[int, int]:
        """What is different now: the numbers of values by cell."""
        store = self.reader.store
        changed: dict[int, int] = {}
        for name, value in self._now():
            cell = store.cell(name)
            number = store.number(cell, value)
            # What was written without a look at it is new whatever was there.
            blind = cell not in self.reader.reads
            if blind or number != store.number_in(self.reader.state, cell):
                changed[cell] = number
        return changed

    def _now(self) -> Iterator[tuple[Cell, Hashable]]:
        """All cells that may have changed, and what they hold now.

        Freezing one looks at others, which are loaded then: they did not change.
        """
        system, memory, constants = self.system, self.memory, self.constants
        for lazy in self._plain():
            yield from ((Cell(lazy.kind, key), lazy.now(key)) for key in tuple(lazy.touched))
        yield from self._frozen(
            system.definitions, lambda _, specs: tuple(constants.spec_number(s) for s in specs)
        )
        yield from self._frozen(memory.allocators, lambda _, a: freeze_allocator(a))
        yield from self._frozen(memory.maps, lambda _, record: freeze_map(record))
        yield from self._frozen(memory.programs, self._freeze_program)
        yield from self._frozen(
            memory.executions, lambda _, e: constants.freezer.freeze_execution(memory, e)
        )
        regions = memory.regions
        assert isinstance(regions, TrackedRegions)
        for map_id, index in tuple(regions.values_touched):
            region = regions.now(region_id(RegionKind.VALUE, map_id, index))
            dead = region is None or region.status is not Status.LIVE
            value = None if dead else constants.freezer.freeze_value(memory, region)  # type: ignore[arg-type]
            yield Cell("value", (map_id, index)), value
        for number in tuple(regions.objects_touched):
            region = regions.now(region_id(RegionKind.OBJECT, number))
            apart = None if region is None else constants.freezer.freeze_apart(memory, region)
            yield Cell("object", number), apart
        for owner, defaults in ((memory, _STATE_DEFAULTS), (system, _SYSTEM_DEFAULTS)):
            for name, default in defaults.items():
                try:
                    now = object.__getattribute__(owner, name)
                except AttributeError:
                    continue
                if name == "world":
                    # Nobody looks at what was sent and written, so that it makes no state another.
                    now = now._replace(output=default.output, redirects=default.redirects)
                yield Cell(name), None if now == default else now

    @staticmethod
    def _frozen(
        lazy: Any, freeze: Callable[[Any, Any], Hashable]
    ) -> Iterator[tuple[Cell, Hashable]]:
        for key in tuple(lazy.touched):
            item = lazy.now(key)
            yield Cell(lazy.kind, key), None if item is None else freeze(key, item)

    def _freeze_program(self, program: int, loaded: LoadedProgram) -> Hashable:
        known = self.reader.read(Cell("code", program))
        if known is not None and self.constants.programs[program, known] is loaded:
            return tuple(known)
        maps = self.system.programs[program].maps
        self.constants.programs.setdefault((program, maps), loaded)
        return maps


def first_state(store: CellTable, constants: PlanConstants) -> bytes:
    """Nothing was created yet; the global allocator is always there."""
    everything = AllocatorRecord(GLOBAL_ALLOCATOR_ID, "the global allocator")
    state = b""
    for name, value in (
        (Cell("heap", GLOBAL_ALLOCATOR_ID), everything),
        (Cell("policy"), constants.policy),
    ):
        cell = store.cell(name)
        number = store.number(cell, value)
        state = store.write(state, store.digits(cell, number))
    return state
