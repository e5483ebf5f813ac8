"""Stacks of callers (kernel/bpf/stackmap.c): `values` are their bytes, by the bucket that they
belong into."""

from __future__ import annotations

from zlib import crc32

from bpfheap.machine.model.maps.apart import ShownElements
from bpfheap.machine.model.maps.common import in_order, map_error, writable
from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord
from bpfheap.machine.model.state import MachineState


class StackElements(ShownElements):
    """There are as many buckets as the next power of two says. Which one a stack belongs into is
    up to a machine."""

    def keys(self, record: MapRecord) -> tuple[bytes, ...]:
        return in_order(record.values)

    def shown(self, state: MachineState, record: MapRecord, key: bytes) -> bytes | None:
        found = record.values.get(key)
        return None if found is None else found.ljust(record.spec.value_size, b"\0")

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None:
        if int.from_bytes(key, "little") >= _buckets(record):
            raise map_error(record, "delete", "E2BIG")
        if key not in record.values:
            raise map_error(record, "delete", "ENOENT")
        del writable(mutator.state, record).values[key]


def _buckets(record: MapRecord) -> int:
    return 1 << (record.spec.max_entries - 1).bit_length()


def keep(
    state: MachineState, record: MapRecord, stack: bytes, *, fast: bool, reuse: bool
) -> int | str:
    """The bucket that a stack is in, or the name of an error: EEXIST if another one is there,
    unless that is to go (`reuse`) or looks like it (`fast`); ENOMEM if there is no room, which is
    needed also in place of another one."""
    number = crc32(stack)
    at = number & (_buckets(record) - 1)
    key = at.to_bytes(4, "little")
    there = record.values.get(key)
    if there == stack or (fast and there is not None and crc32(there) == number):
        return at
    if there is not None and not reuse:
        return "EEXIST"
    if len(record.values) >= record.spec.max_entries:
        return "ENOMEM"
    writable(state, record).values[key] = stack
    return at
