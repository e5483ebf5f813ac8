"""Allocators and objects.

An allocator is counted, not laid out: it owns objects, some of which are free. A prefill makes
sure of free ones and raises the reserve, below which it keeps what comes back; above the reserve
it grows by one object at a time and gives that back when it is freed. So as many objects as were
guaranteed once can be live at any time after, whatever was allocated and freed in between.
"""

from __future__ import annotations

from collections.abc import Iterator

from bpfheap.btf import SpecialField, SpecialKind
from bpfheap.machine.faults import Fault
from bpfheap.machine.layout import ObjectType, round_up
from bpfheap.machine.model import lives
from bpfheap.machine.model.lives import Place
from bpfheap.machine.model.options import ModelOptions
from bpfheap.machine.model.records import (
    AllocatorRecord,
    Region,
    RegionKind,
    Retired,
    Status,
)
from bpfheap.machine.model.state import MachineState
from bpfheap.machine.model.values import NULL, Pointer, Value
from bpfheap.platform.maps import Holds, MapType, Shape
from bpfheap.spec import MapSpec

#: What an allocator counts: objects, and those that have a copy for each CPU.
_WHOLE = frozenset({RegionKind.OBJECT, RegionKind.PERCPU})


def prefill(state: MachineState, allocator_id: int, count: int) -> None:
    """The next `count` allocations succeed, and from then on as many can be live at once."""
    a = state.allocators[allocator_id]
    missing = max(0, count - a.free)
    owned = a.owned + missing
    state.allocators[allocator_id] = a._replace(
        owned=owned, free=a.free + missing, reserve=max(a.reserve, owned)
    )


def close(state: MachineState, allocator_id: int) -> None:
    """The allocator map is gone: free objects are given back, live ones stay."""
    a = state.allocators[allocator_id]
    state.allocators[allocator_id] = a._replace(owned=a.live, free=0, reserve=0, closed=True)


def destroy(state: MachineState, allocator_id: int, why: str) -> str:
    """Live objects dangle from here on. Gives the sentence that their lives get."""
    a = state.allocators[allocator_id]
    sentence = lives.destroyed(a.name, why)
    for region in live_objects(state, allocator_id):
        region = state.region(region.id)
        region.status = Status.ORPHANED
        region.life = lives.add(region.life, sentence)
    # The name stays, for the objects' violations; nothing else of it counts any more.
    state.allocators[allocator_id] = AllocatorRecord(allocator_id, a.name, closed=True)
    return sentence


def live_objects(state: MachineState, allocator_id: int) -> list[Region]:
    """Oldest first."""
    return [
        r
        for r in state.regions.values()
        if r.allocator == allocator_id and r.kind in _WHOLE and r.status is Status.LIVE
    ]


def owner_cycle(state: MachineState, region: Region) -> tuple[str, ...]:
    """A sentence that says by which fields an object owns itself, if it does: the references that
    programs give up never reach 0 then."""
    reached: set[int] = set()
    pending = [(region.id, "")]
    while pending:
        current, way = pending.pop(0)
        for path, owned in _owned(state.regions[current]):
            further = f"{way}{state.regions[current].name}.{path} owns {state.regions[owned].name}"
            if owned == region.id:
                return (f"{region.name} keeps itself alive: {further}",)
            if owned not in reached:
                reached.add(owned)
                pending.append((owned, f"{further}, "))
    return ()


def _owned(region: Region) -> Iterator[tuple[str, int]]:
    """The fields of an object that own objects, with the objects' regions."""
    for kptr in region.kptrs:
        if kptr.offset in region.slots:
            yield kptr.path, region.slots[kptr.offset].region
    for head in region.special:
        if head.contains is not None:
            for node in region.links.get(head.offset, ()):
                yield head.path, node.region


def allocate(
    state: MachineState,
    allocator_id: int,
    kind: ObjectType,
    place: Place,
    options: ModelOptions,
    *,
    cpus: int = 0,
) -> tuple[Value, str | None]:
    """An object, full of garbage where nothing special is, and the sentence its life begins with;
    NULL and None if there is none: the options say when an allocation fails that is not guaranteed.
    With `cpus`, the object is a copy for each of them.
    """
    size = kind.size * (cpus or 1)
    a = state.allocators[allocator_id]
    if a.closed:
        raise Fault("use-after-free", f"allocation from {a.name}, whose map is gone")
    if a.free:
        a = a._replace(free=a.free - 1)
    else:
        limit, failing = options.allocator_limit, options.failing_allocations
        if failing:
            state.growths += 1
        if (
            state.growths in failing
            or (limit is not None and a.owned >= limit)
            or not fits(state, options, size)
        ):
            state.allocators[allocator_id] = a._replace(failures=a.failures + 1)
            return NULL, None
        a = a._replace(owned=a.owned + 1)
    state.allocators[allocator_id] = a._replace(
        live_bytes=a.live_bytes + size, peak=max(a.peak, a.live)
    )
    number = state.names[kind.name] = state.names.get(kind.name, 0) + 1
    name = f"{kind.name}#{number}"
    sentence = lives.allocated(name, a.name, place)
    filled = bytearray(options.rubbish(kind.size))
    # As bpf_obj_init leaves new memory.
    for offset, length in (
        *((k.offset, 8) for k in kind.kptrs),
        *((s.offset, s.size) for s in kind.special),
    ):
        filled[offset : offset + length] = bytes(length)
    data = bytes(filled)
    region = state.add_region(
        RegionKind.PERCPU if cpus else RegionKind.OBJECT,
        name,
        0 if cpus else kind.size,
        b"" if cpus else data,
        kptrs=kind.kptrs,
        type=kind,
        allocator=allocator_id,
        life=lives.add(None, sentence),
        special=kind.special,
    )
    if kind.count is not None:
        state.set_word(region.id, kind.count, 1)
    if cpus:
        copies = [
            state.add_region(RegionKind.COPY, f"{name}@cpu{n}", kind.size, data, type=kind)
            for n in range(cpus)
        ]
        region.links[0] = tuple([Pointer(copy.id, 0) for copy in copies])
    return Pointer(region.id, 0), sentence


def fits(state: MachineState, options: ModelOptions, size: int) -> bool:
    """May objects and maps take so many bytes more?"""
    if options.memory is None:
        return True
    objects = sum(a.live_bytes for a in state.allocators.values())
    maps = sum(map_bytes(m.spec, m.type, options.cpus) for m in state.maps.values())
    return objects + maps + size <= options.memory


def map_bytes(spec: MapSpec, row: MapType, cpus: int) -> int:
    """What a full map takes at least: elements come into being here when they are first used."""
    if row.shape is Shape.NONE:
        return spec.max_entries if row.holds is Holds.RECORDS else 0
    copies = cpus if row.per_cpu else 1
    return spec.max_entries * (round_up(spec.key_size) + copies * round_up(spec.value_size))


def counted(region: Region) -> SpecialField | None:
    """Where the count of an object's owners is, if it may have several."""
    return (
        region.type.count if region.kind is RegionKind.OBJECT and region.type is not None else None
    )


def object_at(
    state: MachineState, value: Value, what: str, kind: RegionKind = RegionKind.OBJECT
) -> Region:
    """The live object, or per-CPU object, that a pointer to its beginning names; `what` is the call
    that wants it.

    Raises Fault for anything else.
    """
    if not isinstance(value, Pointer):
        shown = "NULL" if not value else "a number"
        raise Fault("bad-call", f"{what} of {shown}, which is no {kind}")
    region = state.regions.get(value.region)
    if region is None or region.kind is not kind:
        name = "memory that is gone" if region is None else region.name
        raise Fault("bad-call", f"{what} of {name}, which is no {kind}")
    if region.status is not Status.LIVE:
        raise state.dead(region, f"{what} of {region.name}")
    if value.offset:
        raise Fault("bad-call", f"{what} of {region.name}{value.offset:+d}, which is inside it",
                    region.id)  # fmt: skip
    return region


def release(state: MachineState, region_id: int, sentence: str) -> Iterator[tuple[Region, str]]:
    """Drop a reference to a live object. If it was the last one, give it back, and drop those that
    its kptrs, lists and trees hold, and so on.

    Gives each one that went and the sentence that says so. Raises Fault for an object whose lock
    is held, and for the first nested object that is not live, when the others are free.
    """
    fault: Fault | None = None
    pending = [(region_id, sentence)]
    while pending:
        current, said = pending.pop()
        region = state.regions[current]
        if region.status is not Status.LIVE:
            fault = fault or state.dead(
                region, f"free of {region.name}, which another object holds,"
            )
            continue
        # Of an object of the kernel, a reference goes.
        if region.kind is RegionKind.BLOCK or _shared(state, region, said):
            continue
        _check_lock(state, region)
        region = state.region(current)
        region.status = Status.FREED
        region.life = lives.add(region.life, said)
        yield region, said
        _given_back(state, region)
        if region.kind is RegionKind.PERCPU:
            _retire(state, tuple([copy.region for copy in region.links[0]]))
        for kptr in region.kptrs:
            inner = region.slots.pop(kptr.offset, None)
            if inner is not None:
                name = state.regions[inner.region].name
                pending.append((inner.region, f"{name}, in {region.name}.{kptr.path}, went too"))
        for head in region.special:
            if head.contains is None:
                continue
            for node in reversed(region.links.pop(head.offset, ())):
                name = state.regions[node.region].name
                state.region(node.region).links.pop(node.offset, None)
                pending.append((node.region, f"{name}, in {region.name}.{head.path}, went too"))
    if fault is not None:
        raise fault


def _shared(state: MachineState, region: Region, said: str) -> bool:
    """Drop a reference to a counted object. Whether others are left."""
    field = counted(region)
    if field is None:
        return False
    left = state.word(region.id, field) - 1
    state.set_word(region.id, field, left)
    if left:
        state.note(region.id, lives.kept(region.name, left, said))
    return left > 0


def _check_lock(state: MachineState, region: Region) -> None:
    for field in region.special:
        if field.kind is SpecialKind.SPIN_LOCK and state.word(region.id, field):
            raise Fault("bad-call", f"free of {region.name}, whose lock is held", region.id)


def _retire(state: MachineState, copies: tuple[int, ...]) -> None:
    """Programs that run now may still see a per-CPU object's copies (bpf_mem_free_rcu)."""
    readers = frozenset(state.executions)
    if readers:
        state.retired = (*state.retired, Retired(copies, readers))
        return
    for copy in copies:
        del state.regions[copy]


def _given_back(state: MachineState, region: Region) -> None:
    assert region.allocator is not None
    assert region.type is not None
    size = region.type.size
    a = state.allocators[region.allocator]
    copies = len(region.links[0]) if region.kind is RegionKind.PERCPU else 1
    a = a._replace(live_bytes=a.live_bytes - size * copies)
    kept = a.owned <= a.reserve
    state.allocators[region.allocator] = (
        a._replace(free=a.free + 1) if kept else a._replace(owned=a.owned - 1)
    )
