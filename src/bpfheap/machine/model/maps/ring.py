"""Ring buffers (kernel/bpf/ringbuf.c), and maps that have no elements at all."""

from __future__ import annotations

from bpfheap.machine.model.actor import Actor
from bpfheap.machine.model.maps.common import Values, map_error, writable
from bpfheap.machine.model.records import MapRecord
from bpfheap.machine.model.state import State

# BPF_RINGBUF_HDR_SZ, and the flags of bpf_ringbuf_output (BPF_RB_NO_WAKEUP, _FORCE_WAKEUP).
_HEADER = 8
_FLAGS = 3


class NoElements:
    """Neither lookup nor update nor delete."""

    def regions(self, actor: Actor, record: MapRecord, key: bytes) -> tuple[int, ...] | None:
        return None

    def has(self, record: MapRecord, key: bytes) -> bool:
        return False

    def keys(self, record: MapRecord) -> tuple[bytes, ...]:
        return ()

    def update(
        self, actor: Actor, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None:
        raise map_error(record, "update", "EINVAL", f"a {record.type.name} has no elements")

    def delete(self, actor: Actor, record: MapRecord, key: bytes) -> None:
        raise map_error(record, "delete", "EINVAL", f"a {record.type.name} has no elements")


def _taken(size: int) -> int:
    return _HEADER + (size + 7) // 8 * 8


def output(state: State, record: MapRecord, data: bytes, flags: int) -> None:
    """Append a record. Raises MapError: EINVAL for unknown flags, EAGAIN if there is no room."""
    if flags & ~_FLAGS:
        raise map_error(record, "output", "EINVAL")
    used = sum(_taken(len(r)) for r in record.records)
    if used + _taken(len(data)) > record.spec.max_entries:
        raise map_error(record, "output", "EAGAIN")
    record = writable(state, record)
    record.records = (*record.records, data)


def drain(state: State, record: MapRecord) -> list[bytes]:
    """Take out all records, oldest first."""
    records = list(record.records)
    writable(state, record).records = ()
    return records
