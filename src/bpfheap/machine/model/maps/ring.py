"""Ring buffers (kernel/bpf/ringbuf.c), and maps that have no elements at all."""

from __future__ import annotations

from bpfheap.machine.layout import round_up
from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord
from bpfheap.machine.model.state import MachineState
from bpfheap.machine.tables.common import Output, Unfinished, Values, map_error

#: BPF_RINGBUF_HDR_SZ.
_HEADER = 8
#: Those of bpf_ringbuf_output: BPF_RB_NO_WAKEUP, BPF_RB_FORCE_WAKEUP.
FLAGS = 3


class NoElements:
    """Neither lookup nor update nor delete."""

    def regions(self, mutator: Mutator, record: MapRecord, key: bytes) -> tuple[int, ...] | None:
        return None

    def has(self, record: MapRecord, key: bytes) -> bool:
        return False

    def keys(self, record: MapRecord) -> tuple[bytes, ...]:
        return ()

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None:
        raise map_error(record, "update", "EINVAL", f"a {record.type.name} has no elements")

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None:
        raise map_error(record, "delete", "EINVAL", f"a {record.type.name} has no elements")


def _taken(size: int) -> int:
    return _HEADER + round_up(size)


def _length(record: bytes | Unfinished | Output) -> int:
    assert not isinstance(record, Output)
    return _taken(len(record) if isinstance(record, bytes) else record.size)


def unread(record: MapRecord) -> int:
    """The bytes between consumer and producer, headers included (ringbuf_avail_data_sz)."""
    return sum(_length(r) for r in record.records)


def has_room(record: MapRecord, size: int) -> bool:
    """For one more record. The producer never comes round to where the consumer is
    (__bpf_ringbuf_reserve), so that the last bytes stay free."""
    return unread(record) + _taken(size) < record.spec.max_entries


def output(state: MachineState, record: MapRecord, data: bytes, flags: int) -> None:
    """Append a record. Raises MapError: EINVAL for unknown flags, EAGAIN if there is no room."""
    if flags & ~FLAGS:
        raise map_error(record, "output", "EINVAL")
    if not has_room(record, len(data)):
        raise map_error(record, "output", "EAGAIN")
    record = state.map(record.id)
    record.records = (*record.records, data)


def reserve(state: MachineState, record: MapRecord, size: int) -> int:
    """Append a record that is still to be filled; gives its position. There must be room."""
    position = record.consumed + unread(record)
    record = state.map(record.id)
    record.records = (*record.records, Unfinished(size))
    return position


def finish(state: MachineState, record: MapRecord, position: int, data: bytes | None) -> None:
    """Fill the record that was reserved at a position, or give it up. It takes its room until user
    space has gone past it."""
    record = state.map(record.id)
    at = record.consumed
    for index, entry in enumerate(record.records):
        if at == position:
            assert isinstance(entry, Unfinished)
            done = entry._replace(discarded=True) if data is None else data
            record.records = (*record.records[:index], done, *record.records[index + 1 :])
            return
        at += _length(entry)


def drain(state: MachineState, record: MapRecord) -> list[bytes]:
    """Take out all records up to the first that is still being filled, oldest first."""
    record = state.map(record.id)
    found: list[bytes] = []
    while record.records:
        first = record.records[0]
        if isinstance(first, bytes):
            found.append(first)
        elif not (isinstance(first, Unfinished) and first.discarded):
            break
        record.consumed += _length(first)
        record.records = record.records[1:]
    return found
