"""Allocators of the native machine: a heap each, with a unit for each type."""

from __future__ import annotations

from dataclasses import dataclass, field

from bpfheap.btf import KptrField, SpecialField, SpecialKind
from bpfheap.events import ObjectEvent, ObjectKind
from bpfheap.machine.layout import ObjectType, round_up
from bpfheap.machine.native._core import KINDS, Core, Events, Heap, Type, Unit
from bpfheap.runtime.machine import AllocatorStats

_KIND = {name: number for number, name in enumerate(KINDS)}
#: Those of which no call here makes use: they stay as they are, and nobody sees what they hold.
_OTHER = _KIND["other"]


def fields(
    kptrs: tuple[KptrField, ...], special: tuple[SpecialField, ...]
) -> tuple[tuple[int, int, int, int], ...]:
    """What the core has to know of a type: (kind, offset, size, offset of the node), by offset."""
    rows = [(_KIND["kptr"], k.offset, 8, 0) for k in kptrs]
    rows += [
        (
            _KIND.get(s.kind, _OTHER),
            s.offset,
            s.size,
            0 if s.contains is None else s.contains.offset,
        )
        for s in special
    ]
    return tuple(sorted(rows, key=lambda row: row[1]))


@dataclass(slots=True)
class TypedUnit:
    """Objects of one type and one allocator.

    `type`: their type.
    `unit`: the core's unit for them.
    `size`: bytes of an object, with the copies for all CPUs.
    """

    type: ObjectType
    unit: Unit
    size: int


#: What tells the types of an allocator apart: as ObjectType.key, what heads hold, and the copies.
TypeKey = tuple[object, ...]


@dataclass(slots=True)
class NativeAllocator:
    """What the native machine keeps of an allocator.

    `id`: its number in the runtime.
    `name`: for people.
    `heap`: the core's.
    `promised`: so many objects of each type can be had at any time.
    `closed`: its map is gone.
    `maps`: how many maps have elements that are this allocator's memory.
    `units`: its objects, by type.
    """

    id: int
    name: str
    heap: Heap
    promised: int = 0
    closed: bool = False
    maps: int = 0
    units: dict[TypeKey, TypedUnit] = field(default_factory=dict)

    def stats(self) -> AllocatorStats:
        """`bytes` are those of live objects, `memory` those of slabs, with the elements of maps."""
        of = [(typed, typed.unit.stats()) for typed in self.units.values()]
        whole = self.heap.stats()
        return AllocatorStats(
            live=sum(s["live"] for _, s in of),
            peak=sum(s["peak"] for _, s in of),
            cached=sum(s["cached"] for _, s in of),
            bytes=sum(s["live"] * typed.size for typed, s in of),
            failures=sum(s["failures"] for _, s in of),
            slabs=whole["slabs"],
            memory=whole["bytes"],
        )

    @property
    def used(self) -> bool:
        """Whether objects of it live, or wait for a grace period."""
        stats = self.heap.stats()
        return bool(stats["live"] or stats["waiting"])

    def live_by_type(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for typed in self.units.values():
            live = typed.unit.stats()["live"]
            if live:
                found[typed.type.name] = found.get(typed.type.name, 0) + live
        return found

    def settle(self) -> None:
        """Once it is closed, and no map needs its memory: give back what is free."""
        if self.closed and not self.maps:
            self.heap.close()

    def promise(self, count: int) -> None:
        """The next `count` allocations of each type succeed in any context of any CPU. Raises
        OutOfMemory."""
        self.promised += count
        for typed in self.units.values():
            typed.unit.prefill(count)


class Heaps:
    """All allocators of a machine, and the types of their objects."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.allocators: dict[int, NativeAllocator] = {}
        #: By the number that the core knows them by.
        self.units: list[TypedUnit] = []
        #: Where those who watch objects hear of them; None: nobody watches.
        self.object_events: list[ObjectEvent] | None = None
        self._events: Events | None = None
        self._orphaned: list[NativeAllocator] = []

    @property
    def watched(self) -> bool:
        return self.object_events is not None

    def watch(self, events: list[ObjectEvent] | None) -> None:
        """Only objects of allocators and types that come later are watched."""
        self.object_events = events
        self._events = None if events is None else Events()

    def drain(self) -> None:
        """Tell those who watch what became of objects since the last time."""
        if self.object_events is None or self._events is None:
            return
        for freed, owner, number, cpu, program in self._events.drain():
            self.object_events.append(
                ObjectEvent(
                    ObjectKind.FREE if freed else ObjectKind.ALLOC,
                    owner,
                    cpu,
                    None if program < 0 else program,
                    self.units[number].type.name,
                )
            )

    def create(self, allocator: int, name: str, capacity: int, limit: int) -> None:
        made = NativeAllocator(allocator, name, Heap(self._core, objects=limit), promised=capacity)
        self.allocators[allocator] = made

    def destroy(self, allocator: int) -> None:
        """The memory goes with the last object."""
        self._orphaned.append(self.allocators.pop(allocator))
        self.sweep()

    def sweep(self) -> None:
        """Let go of destroyed allocators of which nothing lives any more. While some wait for a
        grace period, how many live may be more than the count (bh_stats.waiting)."""
        self._orphaned = [a for a in self._orphaned if a.used or a.maps]

    def unit(self, allocator: NativeAllocator, kind: ObjectType, cpus: int = 0) -> TypedUnit:
        """Where objects of a type come from; with `cpus`, such with a copy for each of them.

        Raises OutOfMemory if there is none for what was promised."""
        heads = tuple(s.contains for s in kind.special)
        key = (*kind.key, heads, cpus)
        found = allocator.units.get(key)
        if found is None:
            size = round_up(kind.size) * (cpus or 1)
            layout = Type(
                kind.size,
                fields(kind.kptrs, kind.special),
                copies=cpus or 1,
                owner=allocator.id,
                id=len(self.units),
                events=self._events,
            )
            unit = allocator.heap.unit(size, layout)
            if allocator.promised:
                unit.prefill(allocator.promised)
            found = allocator.units[key] = TypedUnit(kind, unit, kind.size * (cpus or 1))
            self.units.append(found)
        return found


def has_lock(special: tuple[SpecialField, ...]) -> int | None:
    """Where the lock of a value is, if it has one."""
    return next((s.offset for s in special if s.kind is SpecialKind.SPIN_LOCK), None)
