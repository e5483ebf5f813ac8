"""Calls that push values into maps without keys, and get them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from errno import ENOENT

from bpfheap.machine.faults import Fault
from bpfheap.machine.played.refusals import answer
from bpfheap.machine.tables import elements
from bpfheap.machine.tables.caller import Played, TableCaller
from bpfheap.machine.tables.common import Table
from bpfheap.machine.tables.queue import QueueElements, queue_of
from bpfheap.platform.maps import Shape
from bpfheap.runtime.world import Word


def _push(call: TableCaller, args: Sequence[Word]) -> Word:
    table = call.table(args[0], "push")
    value, flags = call.read(args[1], table.spec.value_size), call.number(args[2])
    return answer(lambda: elements(table.type).update(call.keeper, table, b"", (value,), flags))


def _give(call: TableCaller, table: Table, to: Word, value: bytes | None) -> Word:
    """Zeros where there is none (__queue_map_get)."""
    call.write(to, bytes(table.spec.value_size) if value is None else value)
    return -ENOENT if value is None else 0


def _queue(table: Table, what: str) -> QueueElements:
    found = queue_of(table)
    if found is None:
        raise Fault("bad-call", f"{what} of map {table.spec.name}, which is no queue")
    return found


def _pop(call: TableCaller, args: Sequence[Word]) -> Word:
    table = call.table(args[0], "pop")
    return _give(call, table, args[1], _queue(table, "pop").pop(call.keeper, table))


def _peek(call: TableCaller, args: Sequence[Word]) -> Word:
    table = call.table(args[0], "peek")
    if table.type.shape is Shape.FILTER:
        known = call.read(args[1], table.spec.value_size) in table.used
        return 0 if known else -ENOENT
    return _give(call, table, args[1], _queue(table, "peek").shown(table, b""))


CALLS: Mapping[str, Played] = {
    "bpf_map_push_elem": _push,
    "bpf_map_pop_elem": _pop,
    "bpf_map_peek_elem": _peek,
}
