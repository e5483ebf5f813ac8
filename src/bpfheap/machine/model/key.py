"""What makes two states the same.

Regions have no names that a program could see: in a key they are numbered in the order in which
a walk from the roots (executions, maps, retired values) first meets them, so that two ways to the
same situation give the same key. Sentences, names of objects and statistics are left out. The
explorer freezes states in another way (frozen.py); a test compares the two.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable

from bpfheap.machine.model.heap import counted
from bpfheap.machine.model.progress import ExecutionProgress
from bpfheap.machine.model.records import (
    CallFrame,
    Execution,
    ForEach,
    MapRecord,
    Region,
    RegionKind,
    Status,
    TreeSearch,
)
from bpfheap.machine.model.state import MachineState
from bpfheap.machine.model.values import Pointer, Unowned, Value
from bpfheap.platform.maps import Shape

_SORTED = (Shape.ARRAY, Shape.TRIE)


class _Numbering:
    """Numbers regions as they are met; `order` are those met so far."""

    def __init__(self, state: MachineState) -> None:
        self.state = state
        self.numbers: dict[int, int] = {}
        self.order: list[int] = []

    def region(self, region_id: int) -> int:
        number = self.numbers.get(region_id)
        if number is None:
            number = self.numbers[region_id] = len(self.order)
            self.order.append(region_id)
        return number

    def value(self, value: Value) -> Hashable:
        if isinstance(value, Pointer):
            return (self.region(value.region), value.offset, type(value) is Unowned)
        return value

    def values(self, values: Iterable[Value]) -> Hashable:
        return tuple([self.value(v) for v in values])


def key_of(state: MachineState) -> Hashable:
    """Equal for two states exactly if no program and no operation can tell them apart."""
    names = _Numbering(state)
    executions = [_execution(names, e) for _, e in sorted(state.executions.items())]
    maps = [_map(names, m) for _, m in sorted(state.maps.items())]
    retired = [
        (tuple([names.region(r) for r in old.regions]), old.readers) for old in state.retired
    ]
    regions = []
    # The walk meets further regions while it goes on.
    for region_id in names.order:
        regions.append(_region(names, state.regions.get(region_id)))
    known = len(regions)
    held = [
        frozenset([(names.region(r), e.shares.get(r, 0)) for r in e.held])
        for _, e in sorted(state.executions.items())
    ]
    for region_id in itertools.islice(names.order, known, None):
        regions.append(_region(names, state.regions.get(region_id)))
    allocators = [
        (a.id, a.owned, a.free, a.reserve, a.closed) for _, a in sorted(state.allocators.items())
    ]
    return (
        tuple(executions),
        tuple(maps),
        tuple(retired),
        tuple(regions),
        tuple(held),
        tuple(allocators),
        (state.clock, state.random, state.growths, state.next_address, state.world),
    )


def _execution(names: _Numbering, e: Execution) -> Hashable:
    return (
        e.id,
        e.program,
        e.slot,
        names.values(e.registers),
        tuple([_frame(names, f) for f in e.frames]),
        e.cpu,
        e.context,
        e.at_call,
        names.region(e.ctx),
        names.value(e.lock),
        _progress(names, e.progress),
    )


def _progress(names: _Numbering, progress: ExecutionProgress) -> Hashable:
    return (
        progress.rcu_sections,
        progress.tail_calls,
        progress.may_gotos,
        progress.base,
        progress.preempt,
        tuple([(names.region(flag.stack), flag.offset) for flag in progress.irqs]),
        tuple(
            [
                (names.region(i.stack), i.offset, names.region(i.element), i.end, i.live)
                for i in progress.iterators
            ]
        ),
        tuple([(names.region(r.region), r.map_id, r.position) for r in progress.records]),
        progress.packet and (names.region(progress.packet.region), progress.packet[1:]),
    )


def _frame(names: _Numbering, frame: CallFrame) -> Hashable:
    after = frame.after
    going_on: Hashable = None
    if isinstance(after, ForEach):
        going_on = (
            after.callback,
            names.value(after.ctx),
            after.map_id,
            after.keys,
            after.at,
            after.visited,
            names.region(after.key),
        )
    elif isinstance(after, TreeSearch):
        going_on = (
            after.callback, names.value(after.root), names.value(after.node), after.low, after.high,
        )  # fmt: skip
    elif after is not None:
        going_on = (after.callback, names.value(after.ctx), after.iterations, after.limit)
    return (frame.return_slot, names.values(frame.saved), going_on, *frame[3:])


def _map(names: _Numbering, m: MapRecord) -> Hashable:
    if m.type.fixed:
        # An untouched element is the same as one of zeros that nobody points at.
        content = [
            (key, tuple([names.region(r) for r in regions]))
            for key, regions in sorted(m.entries.items())
            if any(r in names.numbers or not _blank(names.state.regions[r]) for r in regions)
        ]
    else:
        items: Iterable[tuple[bytes, tuple[int, ...]]] = m.entries.items()
        # User space is shown them in another order than that in which they came.
        if m.type.shape in _SORTED:
            items = sorted(items)
        content = [(key, tuple([names.region(r) for r in regions])) for key, regions in items]
    return (
        m.id,
        names.region(m.region),
        tuple(content),
        tuple(m.inner.items()) if m.type.shape is Shape.HASH else tuple(sorted(m.inner.items())),
        m.records,
        m.consumed,
        m.freeing,
        m.used,
        tuple(sorted(m.values.items())),
    )


def _blank(region: Region) -> bool:
    plain = not region.slots and not region.links
    return plain and not region.address and not any(region.data)


def _region(names: _Numbering, region: Region | None) -> Hashable:
    if region is None:
        return None
    # The name of a value says which element it is, also of one that left its map.
    element = region.name if region.kind is RegionKind.VALUE else None
    head = (
        region.kind, region.status, region.address, region.allocator, region.subject, element,
        counted(region) is not None,
    )  # fmt: skip
    if region.kind is RegionKind.PERCPU:
        # The copies of a freed one may still be there.
        return (head, names.values(region.links.get(0, ())))
    if region.status is not Status.LIVE or region.kind in (RegionKind.MAP, RegionKind.CODE):
        return head
    return (
        head,
        region.size,
        region.readonly,
        region.type and region.type.key,
        bytes(region.data).rstrip(b"\0"),
        tuple([(at, names.value(region.slots[at])) for at in sorted(region.slots)]),
        tuple([(at, names.values(region.links[at])) for at in sorted(region.links)]),
    )


def reachable(state: MachineState) -> set[int]:
    """The regions that anything can still lead to."""
    found: set[int] = set()
    pending: list[int] = []

    def meet(values: Iterable[Value]) -> None:
        pending.extend(v.region for v in values if isinstance(v, Pointer))

    for e in state.executions.values():
        meet((*e.registers, e.lock))
        pending.append(e.ctx)
        pending.extend(e.progress.regions)
        pending.extend(e.held)
        for frame in e.frames:
            meet(frame.saved)
            if isinstance(frame.after, TreeSearch):
                meet((frame.after.root, frame.after.node))
            elif frame.after is not None:
                meet((frame.after.ctx,))
    for m in state.maps.values():
        for regions in m.entries.values():
            pending.extend(regions)
    for retired in state.retired:
        pending.extend(retired.regions)
    while pending:
        region_id = pending.pop()
        region = state.regions.get(region_id)
        if region is not None and region_id not in found:
            found.add(region_id)
            pending.extend(p.region for p in region.slots.values())
            for linked in region.links.values():
                meet(linked)
    return found
