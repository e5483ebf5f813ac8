"""Parts of a state as values that can be compared, hashed and kept: for those who visit many.

A part owns what only it can reach: an execution its stacks and the objects that it holds, a map
value the objects in its kptrs, and they in turn theirs. Objects therefore have no names of their
own, but for those that can be reached from several places (lists, trees, several owners): each of
them is a part by itself, with a number. What a program cannot read any more (dead registers and
stack slots) is left out, and so are names, lives and statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeAlias

from bpfheap.btf import KptrField, SpecialField
from bpfheap.machine.definitions import fields_of, is_readonly
from bpfheap.machine.layout import ObjectType
from bpfheap.machine.model import iterators, packets
from bpfheap.machine.model.interp import STACK_SIZE
from bpfheap.machine.model.progress import ExecutionProgress
from bpfheap.machine.model.records import (
    AllocatorRecord,
    CallFrame,
    Execution,
    ForEach,
    Loop,
    MapRecord,
    Region,
    RegionKind,
    Status,
    TreeSearch,
)
from bpfheap.machine.model.state import MachineState
from bpfheap.machine.model.values import Opaque, Pointer, Unowned, Value, Word
from bpfheap.machine.tables.common import Output, Unfinished
from bpfheap.platform.maps import BY_NUMBER, MapType
from bpfheap.runtime.machine import Context
from bpfheap.spec import MapSpec
from bpfheap.verifier.analysis.liveness import FIRST_SLOT

_SHIFT = 48
_SPAN = 16
_SLOT = 8
_REGISTERS = 11
_EVERYTHING = -1
#: How many owners are followed: objects that hold one another in a circle have no outermost one.
_DEEPEST = 64

#: (program, slot) -> the set of registers and stack slots that may still be read from there on.
Live: TypeAlias = Callable[[int, int], int]


class RegionHome(NamedTuple):
    """Which part of a state a region belongs to: `owner` is a map, program, execution or object."""

    kind: RegionKind
    owner: int
    number: int = 0


_KINDS = (RegionKind.MAP, RegionKind.CODE, RegionKind.VALUE, RegionKind.STACK, RegionKind.OBJECT)


def region_id(kind: RegionKind, owner: int, index: int = 0) -> int:
    """The id of a region that is named after its home; STACK stands for all that an execution
    owns, OBJECT with a number as `owner` for what is a part by itself."""
    return (_KINDS.index(kind) + 1) << _SHIFT | owner << _SPAN | index


def home(region: int) -> RegionHome | None:
    """None for a region without one, such as an object."""
    kind = region >> _SHIFT
    if not 0 < kind <= len(_KINDS):
        return None
    rest = region & ((1 << _SHIFT) - 1)
    return RegionHome(_KINDS[kind - 1], rest >> _SPAN, rest & ((1 << _SPAN) - 1))


class OwnPointer(NamedTuple):
    """A pointer to the execution's own region of that number."""

    number: int
    offset: int


class HeldPointer(NamedTuple):
    """A pointer to the object of that number among those that the execution holds."""

    number: int
    offset: int


class DanglingPointer(NamedTuple):
    """A pointer to an object that is no more."""

    status: Status
    allocator: int | None
    offset: int


class UnownedPointer(NamedTuple):
    """An unowned pointer to the object that the kptrs of `path` lead to, from a region that has a
    name. Once another object is there, it is that one: what is read through such a pointer is
    anything anyway."""

    root: Hashable
    path: tuple[int, ...]
    offset: int


class FrozenObject(NamedTuple):
    """`slots` are its pointers by offset: objects that it owns, or DanglingPointer."""

    type: Hashable
    allocator: int | None
    status: Status
    data: bytes
    slots: tuple[tuple[int, Hashable], ...]


class FrozenMemory(NamedTuple):
    """A region of an execution: context, stack, or the key that a callback is shown."""

    kind: RegionKind
    name: str
    size: int
    data: bytes
    slots: tuple[tuple[int, Hashable], ...]
    readonly: bool


class FrozenExecution(NamedTuple):
    program: int
    slot: int
    registers: tuple[Hashable, ...]
    cpu: int
    context: Context
    frames: tuple[Hashable, ...]
    at_call: bool
    own: tuple[FrozenMemory, ...]
    progress: ExecutionProgress
    held: tuple[FrozenObject | Pointer, ...]
    shares: tuple[tuple[int, int], ...] = ()
    lock: Hashable = None


class FrozenValue(NamedTuple):
    name: str
    data: bytes
    slots: tuple[tuple[int, Hashable], ...]
    links: tuple[tuple[int, tuple[Pointer, ...]], ...] = ()


class FrozenApart(NamedTuple):
    """An object that is a part by itself, or a CPU's copy of one."""

    kind: RegionKind
    type: Hashable
    allocator: int | None
    status: Status
    data: bytes
    slots: tuple[tuple[int, Hashable], ...]
    links: tuple[tuple[int, tuple[Pointer, ...]], ...]


class FrozenMap(NamedTuple):
    entries: tuple[tuple[bytes, tuple[int, ...]], ...] = ()
    inner: tuple[tuple[bytes, int], ...] = ()
    records: tuple[bytes | Unfinished | Output, ...] = ()
    consumed: int = 0
    freeing: tuple[bytes, ...] | None = None
    used: frozenset[bytes] = frozenset()
    values: tuple[tuple[bytes, bytes], ...] = ()


class MapConstants(NamedTuple):
    """What of a map never changes."""

    spec: MapSpec
    type: MapType
    kptrs: tuple[KptrField, ...]
    readonly: bool
    allocator: int | None
    special: tuple[SpecialField, ...] = ()


def freeze_allocator(a: AllocatorRecord) -> AllocatorRecord:
    return a._replace(peak=0, failures=0)


def constants_of(spec: MapSpec, allocator: int | None) -> MapConstants:
    """`allocator` is the one that an allocator map names. Raises BtfError for kptr fields that
    cannot be."""
    kptrs, others = fields_of(spec)
    return MapConstants(spec, BY_NUMBER[spec.type], kptrs, is_readonly(spec), allocator, others)


def freeze_map(record: MapRecord) -> FrozenMap:
    return FrozenMap(
        tuple(record.entries.items()),
        tuple(record.inner.items()),
        record.records,
        record.consumed,
        record.freeing,
        record.used,
        tuple(sorted(record.values.items())),
    )


def thaw_map(
    state: MachineState, map_id: int, frozen: FrozenMap, constants: MapConstants, region: int
) -> MapRecord:
    """`region` is what map pointers point at."""
    return MapRecord(
        id=map_id, spec=constants.spec, type=constants.type, readonly=constants.readonly,
        special=constants.special, region=region, kptrs=constants.kptrs,
        allocator=constants.allocator, token=state.token, entries=dict(frozen.entries),
        inner=dict(frozen.inner), records=frozen.records, used=frozen.used,
        values=dict(frozen.values), consumed=frozen.consumed, freeing=frozen.freeing,
    )  # fmt: skip


class Freezer:
    """Freezes and thaws parts of states, and remembers the types of objects meanwhile; `find` is
    asked for those that were frozen elsewhere."""

    def __init__(self, live: Live, find: Callable[[Hashable], ObjectType]) -> None:
        self._live = live
        self._find = find
        self._types: dict[Hashable, ObjectType] = {}

    # -- objects

    def _object(self, state: MachineState, region: Region) -> FrozenObject:
        kind = self._type(region)
        slots = tuple(
            (at, self._inside(state, pointer)) for at, pointer in sorted(region.slots.items())
        )
        data = bytes(region.data).rstrip(b"\0")
        return FrozenObject(kind.key, region.allocator, region.status, data, slots)

    def _type(self, region: Region) -> ObjectType:
        kind = region.type
        assert kind is not None
        return self._types.setdefault(kind.key, kind)

    def _inside(self, state: MachineState, pointer: Pointer) -> Hashable:
        region = state.regions.get(pointer.region)
        if (
            region is None
            or region.kind is not RegionKind.OBJECT
            or home(pointer.region) is not None
        ):
            return pointer
        if region.status is Status.FREED:
            return DanglingPointer(region.status, region.allocator, pointer.offset)
        return self._object(state, region)

    def freeze_apart(self, state: MachineState, region: Region) -> FrozenApart:
        slots = tuple(
            (at, self._inside(state, pointer)) for at, pointer in sorted(region.slots.items())
        )
        return FrozenApart(
            region.kind, self._type(region).key, region.allocator, region.status,
            bytes(region.data).rstrip(b"\0"), slots, tuple(sorted(region.links.items())),
        )  # fmt: skip

    def thaw_apart(self, state: MachineState, at: int, frozen: FrozenApart) -> Region:
        kind = self._known(frozen.type)
        opaque = frozen.kind is RegionKind.PERCPU
        region = Region(
            at, frozen.kind, f"{kind.name}#1", bytearray(frozen.data), 0 if opaque else kind.size,
            state.token, kptrs=kind.kptrs, type=kind, allocator=frozen.allocator,
            status=frozen.status, special=kind.special, links=dict(frozen.links),
        )  # fmt: skip
        for offset, inner in frozen.slots:
            region.slots[offset] = self._thaw_inside(state, inner)
        return region

    def _known(self, key: Hashable) -> ObjectType:
        kind = self._types.get(key)
        if kind is None:
            kind = self._types[key] = self._find(key)
        return kind

    def _thaw_object(self, state: MachineState, frozen: FrozenObject) -> Region:
        kind = self._known(frozen.type)
        data = frozen.data.ljust(kind.size, b"\0")
        region = state.add_region(
            RegionKind.OBJECT, f"{kind.name}#1", kind.size, data, kptrs=kind.kptrs, type=kind,
            allocator=frozen.allocator, status=frozen.status,
        )  # fmt: skip
        for at, inner in frozen.slots:
            region.slots[at] = self._thaw_inside(state, inner)
        return region

    def _thaw_inside(self, state: MachineState, frozen: Hashable) -> Pointer:
        if isinstance(frozen, FrozenObject):
            return Pointer(self._thaw_object(state, frozen).id, 0)
        if isinstance(frozen, DanglingPointer):
            return self._thaw_dangling(state, frozen)
        assert isinstance(frozen, Pointer)
        return frozen

    @staticmethod
    def _thaw_dangling(state: MachineState, frozen: DanglingPointer) -> Pointer:
        region = state.add_region(
            RegionKind.OBJECT, "an object", 0, status=frozen.status, allocator=frozen.allocator
        )
        return Pointer(region.id, frozen.offset)

    # -- values

    def freeze_value(self, state: MachineState, region: Region) -> FrozenValue:
        slots = tuple(
            (at, self._inside(state, pointer)) for at, pointer in sorted(region.slots.items())
        )
        links = tuple(sorted(region.links.items()))
        return FrozenValue(region.name, bytes(region.data).rstrip(b"\0"), slots, links)

    def thaw_value(
        self,
        state: MachineState,
        at: int,
        map_id: int,
        frozen: FrozenValue,
        constants: MapConstants,
    ) -> Region:
        data = bytearray(frozen.data)
        region = Region(
            at, RegionKind.VALUE, frozen.name, data, constants.spec.value_size, state.token,
            kptrs=constants.kptrs, readonly=constants.readonly,
            subject=map_id, special=constants.special, links=dict(frozen.links),
        )  # fmt: skip
        for offset, inner in frozen.slots:
            region.slots[offset] = self._thaw_inside(state, inner)
        return region

    # -- executions

    def freeze_execution(self, state: MachineState, e: Execution) -> FrozenExecution:
        tops = [*(f.saved[-1] for f in e.frames), e.registers[10]]
        stacks = [top.region for top in tops if isinstance(top, Pointer)]
        keys = [f.after.key for f in e.frames if isinstance(f.after, ForEach)]
        rest = [*keys, *e.progress.regions]
        own = {region: n for n, region in enumerate((e.ctx, *stacks, *rest))}
        held = {region: n for n, region in enumerate(e.held)}

        def value(of: Value) -> Hashable:
            if not isinstance(of, Pointer):
                return of
            if type(of) is Unowned:
                return seen(of)
            if of.region in own:
                return OwnPointer(own[of.region], of.offset)
            if of.region in held:
                return HeldPointer(held[of.region], of.offset)
            if home(of.region) is not None:
                return of
            region = state.regions.get(of.region)
            if region is not None and region.status is Status.FREED:
                return DanglingPointer(region.status, region.allocator, of.offset)
            # The execution gave the object away, and the verifier lets nobody read this register.
            return None

        def seen(of: Unowned) -> Hashable:
            path: list[int] = []
            at = of.region
            while at not in own and at not in held and _has_owner(state, at):
                above = _owner(state, at) if len(path) < _DEEPEST else None
                if above is None:
                    return UnownedPointer(DanglingPointer(Status.FREED, None, 0), (), of.offset)
                path.append(above.offset)
                at = above.region
            return UnownedPointer(value(Pointer(at, 0)), tuple(reversed(path)), of.offset)

        live = self._live(e.program, e.slot)
        masks = [
            # At the call, which is one slot: what the function reads of the stack counts, too.
            _EVERYTHING if f.after is not None else self._live(f.program, f.return_slot - 1)
            for f in e.frames
        ]
        frames = tuple(
            _freeze_frame(f, mask, value) for f, mask in zip(e.frames, masks, strict=True)
        )
        # By number: the context, the callers' stacks, the one in use, keys and the rest.
        needed = [_EVERYTHING, *masks, live, *(_EVERYTHING for _ in rest)]
        memory = tuple(
            _freeze_memory(state.regions[region], needed[n], value) for region, n in own.items()
        )
        registers = tuple(
            value(v) if live >> n & 1 or n == _REGISTERS - 1 else None
            for n, v in enumerate(e.registers)
        )
        objects = tuple(
            self._object(state, state.regions[r]) if home(r) is None else Pointer(r, 0)
            for r in e.held
        )
        shares = tuple((held[region], more) for region, more in e.shares.items())
        return FrozenExecution(
            e.program, e.slot, registers, e.cpu, e.context, frames, e.at_call, memory,
            _renamed(e.progress, own.__getitem__), objects, shares, value(e.lock),
        )  # fmt: skip

    def thaw_execution(
        self, state: MachineState, execution: int, frozen: FrozenExecution
    ) -> Execution:
        held = [
            f.region if isinstance(f, Pointer) else self._thaw_object(state, f).id
            for f in frozen.held
        ]

        def value(of: Hashable) -> Value:
            match of:
                case OwnPointer(number, offset):
                    return Pointer(region_id(RegionKind.STACK, execution, number), offset)
                case HeldPointer(number, offset):
                    return Pointer(held[number], offset)
                case DanglingPointer():
                    return self._thaw_dangling(state, of)
                case UnownedPointer(root, path, offset):
                    at = value(root)
                    for step in path:
                        region = state.regions.get(at.region) if isinstance(at, Pointer) else None
                        at = None if region is None else region.slots.get(step)
                    if not isinstance(at, Pointer):
                        at = self._thaw_dangling(state, DanglingPointer(Status.FREED, None, 0))
                    return Unowned(at.region, offset)
            assert of is None or isinstance(of, int | Pointer)
            return of

        for n, memory in enumerate(frozen.own):
            at = region_id(RegionKind.STACK, execution, n)
            region = Region(
                at, memory.kind, memory.name, bytearray(memory.data), memory.size, state.token,
                readonly=memory.readonly,
            )  # fmt: skip
            if memory.kind is RegionKind.STACK:
                region.data.extend(bytes(STACK_SIZE - len(region.data)))
            for offset, inner in memory.slots:
                thawed = value(inner)
                if isinstance(thawed, Pointer):
                    region.slots[offset] = thawed
            state.regions[at] = region
        lock = value(frozen.lock)
        progress = _renamed(
            frozen.progress, lambda number: region_id(RegionKind.STACK, execution, number)
        )
        iterators.restore(state, progress)
        packets.restore(state, progress, region_id(RegionKind.STACK, execution, 0))
        return Execution(
            execution, frozen.program, frozen.slot, [value(v) for v in frozen.registers],
            frozen.cpu, frozen.context, region_id(RegionKind.STACK, execution, 0), state.token,
            tuple(_thaw_frame(f, value, execution) for f in frozen.frames), progress,
            dict.fromkeys(held), frozen.at_call,
            shares={held[n]: more for n, more in frozen.shares},
            lock=lock if isinstance(lock, Pointer) else None,
        )  # fmt: skip


def _has_owner(state: MachineState, target: int) -> bool:
    """Whether it takes a way to get to a region: it is an object, and no part by itself."""
    region = state.regions.get(target)
    return home(target) is None and (region is None or region.kind is RegionKind.OBJECT)


def _owner(state: MachineState, target: int) -> Pointer | None:
    """The kptr field that an object is in."""
    for region in state.regions.values():
        if region.kptrs and region.status is Status.LIVE:
            for at, pointer in region.slots.items():
                if pointer.region == target:
                    return Pointer(region.id, at)
    return None


def _freeze_frame(frame: CallFrame, mask: int, value: Callable[[Value], Hashable]) -> Hashable:
    saved = tuple(
        value(v) if mask >> n & 1 or n == _REGISTERS - 1 else None
        for n, v in enumerate(frame.saved, 6)
    )
    after = frame.after
    going_on: Hashable = None
    if isinstance(after, ForEach):
        # Thawing gives the key's region its number among those of the execution.
        going_on = after._replace(ctx=None, key=0), value(after.ctx), value(Pointer(after.key, 0))
    elif isinstance(after, Loop):
        going_on = after._replace(ctx=None), value(after.ctx)
    elif isinstance(after, TreeSearch):
        # Trees and their nodes keep their region ids.
        going_on = (after,)
    return frame.return_slot, saved, going_on, *frame[3:]


def _thaw_frame(frozen: Hashable, value: Callable[[Hashable], Value], execution: int) -> CallFrame:
    assert isinstance(frozen, tuple)
    return_slot, saved, going_on, *others = frozen
    after: Loop | ForEach | TreeSearch | None = None
    if going_on is not None and isinstance(going_on[0], TreeSearch):
        (after,) = going_on
    elif going_on is not None and isinstance(going_on[0], ForEach):
        walk, ctx, key = going_on
        after = walk._replace(
            ctx=value(ctx), key=region_id(RegionKind.STACK, execution, key.number)
        )
    elif going_on is not None:
        loop, ctx = going_on
        after = loop._replace(ctx=value(ctx))
    return CallFrame(return_slot, tuple(value(v) for v in saved), after, *others)


def _renamed(progress: ExecutionProgress, name: Callable[[int], int]) -> ExecutionProgress:
    """With other ids for the regions that belong to the execution."""
    packet = progress.packet
    return progress._replace(
        iterators=tuple(
            i._replace(stack=name(i.stack), element=name(i.element)) for i in progress.iterators
        ),
        records=tuple(r._replace(region=name(r.region)) for r in progress.records),
        packet=packet and packet._replace(region=name(packet.region)),
        irqs=tuple(flag._replace(stack=name(flag.stack)) for flag in progress.irqs),
    )


def _freeze_memory(region: Region, mask: int, value: Callable[[Value], Hashable]) -> FrozenMemory:
    data = region.data
    # Marks of iterators and packets are made again.
    slots = sorted((at, p) for at, p in region.slots.items() if not isinstance(p, Opaque | Word))
    if region.kind is RegionKind.STACK and mask != _EVERYTHING:
        data = bytearray(data)
        for n in range(STACK_SIZE // _SLOT):
            if not mask >> (FIRST_SLOT + n) & 1:
                at = STACK_SIZE - _SLOT * (n + 1)
                data[at : at + _SLOT] = bytes(_SLOT)
        slots = [s for s in slots if mask >> (FIRST_SLOT + (STACK_SIZE - s[0] - 1) // _SLOT) & 1]
    return FrozenMemory(
        region.kind, region.name, region.size, bytes(data).rstrip(b"\0"),
        tuple([(at, value(pointer)) for at, pointer in slots]), region.readonly,
    )  # fmt: skip
