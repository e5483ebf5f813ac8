"""Calls that push values into maps without keys, and get them out."""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.errors import MapError
from bpfheap.machine.faults import Fault
from bpfheap.machine.model.convention import Arguments, Implementation, error, map_of, number
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.maps import elements
from bpfheap.machine.model.maps.queue import QueueElements, queue_of
from bpfheap.machine.model.playing import write
from bpfheap.machine.model.records import MapRecord
from bpfheap.machine.model.values import Value
from bpfheap.platform.maps import Shape


def _push(core: Core, args: Arguments) -> Value:
    record = map_of(core, args[0], "push")
    value = core.state.read(args[1], record.spec.value_size)
    flags = number(core, args[2], 3)
    try:
        elements(record.type).update(core.mutator, record, b"", (value,), flags)
    except MapError as refused:
        return error(refused.errno_name)
    return 0


def _give(core: Core, record: MapRecord, to: Value, value: bytes | None) -> Value:
    """Zeros where there is none (__queue_map_get)."""
    write(core.state, to, bytes(record.spec.value_size) if value is None else value)
    return error("ENOENT") if value is None else 0


def _queue(record: MapRecord, what: str) -> QueueElements:
    found = queue_of(record)
    if found is None:
        raise Fault("bad-call", f"{what} of map {record.spec.name}, which is no queue")
    return found


def _pop(core: Core, args: Arguments) -> Value:
    record = map_of(core, args[0], "pop")
    core.state.access(args[1], record.spec.value_size, "write")
    return _give(core, record, args[1], _queue(record, "pop").pop(core.state, record))


def _peek(core: Core, args: Arguments) -> Value:
    record = map_of(core, args[0], "peek")
    if record.type.shape is Shape.FILTER:
        known = core.state.read(args[1], record.spec.value_size) in record.used
        return 0 if known else error("ENOENT")
    return _give(core, record, args[1], _queue(record, "peek").shown(core.state, record, b""))


CALLS: Mapping[str, Implementation] = {
    "bpf_map_push_elem": _push,
    "bpf_map_pop_elem": _pop,
    "bpf_map_peek_elem": _peek,
}
