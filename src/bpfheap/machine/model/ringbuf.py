"""Ring buffer records that a program fills in place (kernel/bpf/ringbuf.c).

A reserved record is memory of the execution's own; submitted, its bytes are what user space reads
once it has read all records before it.
"""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.machine.dynptr import LONGEST, Dynptr, load, store
from bpfheap.machine.faults import Fault
from bpfheap.machine.model.convention import Arguments, Implementation, error, number
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.maps import ring
from bpfheap.machine.model.mutator import drop
from bpfheap.machine.model.playing import ModelCaller
from bpfheap.machine.model.progress import Reservation
from bpfheap.machine.model.records import MapRecord, RegionKind, Status
from bpfheap.machine.model.values import NULL, U32, Pointer, Value
from bpfheap.platform.dynptrs import DynptrKind
from bpfheap.platform.maps import Holds

#: What bpf_ringbuf_query can be asked.
_AVAIL_DATA, _RING_SIZE, _CONS_POS, _PROD_POS = range(4)


def _ring(core: Core, value: Value) -> MapRecord:
    record = core.map_at(value)
    if record.type.holds is not Holds.RECORDS:
        raise Fault("bad-call", f"map {record.spec.name} is no ring buffer")
    return record


def _reserve(core: Core, args: Arguments) -> Value:
    record = _ring(core, args[0])
    size, flags = number(core, args[1], 2), number(core, args[2], 3)
    if flags or not ring.has_room(record, size):
        return NULL
    state, execution = core.state, core.execution
    position = ring.reserve(state, record, size)
    region = state.add_region(
        RegionKind.RECORD,
        f"a record of {record.spec.name}",
        size,
        core.mutator.options.rubbish(size),
    )
    progress = execution.progress
    reserved = (*progress.records, Reservation(region.id, record.id, position))
    execution.progress = progress._replace(records=reserved)
    return Pointer(region.id, 0)


def _finish(what: str, *, submit: bool) -> Implementation:
    def finish(core: Core, args: Arguments) -> Value:
        state, progress, at = core.state, core.execution.progress, args[0]
        number(core, args[1], 2)
        if not isinstance(at, Pointer):
            raise Fault("bad-call", f"{what} of {'a number' if at else 'NULL'}")
        found = next((r for r in progress.records if r.region == at.region), None)
        if found is None or at.offset:
            region = state.regions.get(at.region)
            if region is not None and region.status is not Status.LIVE:
                raise state.dead(region, f"{what} of {region.name}")
            name = "memory that is gone" if region is None else region.name
            raise Fault("bad-call", f"{what} of {name}, which is no reserved record's beginning")
        data = state.read(at, state.regions[at.region].size) if submit else None
        ring.finish(state, state.maps[found.map_id], found.position, data)
        drop(state, found.region)
        left = tuple(r for r in progress.records if r is not found)
        core.execution.progress = progress._replace(records=left)
        return NULL

    return finish


def _reserve_dynptr(core: Core, args: Arguments) -> Value:
    """A dynptr is there even if no record is, and goes the same way."""
    what = "bpf_ringbuf_reserve_dynptr"
    size, flags = number(core, args[1], 2) & U32, number(core, args[2], 3)
    record = NULL if flags or size > LONGEST else _reserve(core, (args[0], size, 0))
    found = Dynptr(DynptrKind.RINGBUF, record, size) if record != NULL else None
    store(ModelCaller(core, what), args[3], found)
    if found is not None:
        return 0
    return error("E2BIG" if size > LONGEST and not flags else "EINVAL")


def _finish_dynptr(what: str, *, submit: bool) -> Implementation:
    finish = _finish(what, submit=submit)

    def finish_dynptr(core: Core, args: Arguments) -> Value | str:
        call = ModelCaller(core, what)
        found = load(call, args[0])
        if found is not None:
            finish(core, (found.data, args[1]))
            store(call, args[0], None)
        return NULL

    return finish_dynptr


def _query(core: Core, args: Arguments) -> Value:
    record = _ring(core, args[0])
    answers = {
        _AVAIL_DATA: ring.unread(record),
        _RING_SIZE: record.spec.max_entries,
        _CONS_POS: record.consumed,
        _PROD_POS: record.consumed + ring.unread(record),
    }
    return answers.get(number(core, args[1], 2), 0)


def abandon(core: Core) -> None:
    """The execution is over: what it left unfinished is given up, so that others can go on."""
    for found in core.execution.progress.records:
        record = core.state.maps.get(found.map_id)
        if record is not None:
            ring.finish(core.state, record, found.position, None)


CALLS: Mapping[str, Implementation] = {
    "bpf_ringbuf_reserve": _reserve,
    "bpf_ringbuf_submit": _finish("bpf_ringbuf_submit", submit=True),
    "bpf_ringbuf_discard": _finish("bpf_ringbuf_discard", submit=False),
    "bpf_ringbuf_query": _query,
    "bpf_ringbuf_reserve_dynptr": _reserve_dynptr,
    "bpf_ringbuf_submit_dynptr": _finish_dynptr("bpf_ringbuf_submit_dynptr", submit=True),
    "bpf_ringbuf_discard_dynptr": _finish_dynptr("bpf_ringbuf_discard_dynptr", submit=False),
}
