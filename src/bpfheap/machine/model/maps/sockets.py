"""Sockets that packets can go to (net/core/sock_map.c, net/xdp/xskmap.c and
kernel/bpf/reuseport_array.c): elements are blocks, which belong to somebody else."""

from __future__ import annotations

from bpfheap.machine.model.maps.apart import ShownElements
from bpfheap.machine.model.maps.common import (
    Entries,
    Values,
    check_flags,
    in_order,
    map_error,
    writable,
)
from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord, RegionKind, Status
from bpfheap.machine.model.state import MachineState
from bpfheap.machine.model.values import Pointer


def block_of(socket: Pointer) -> bytes:
    """What is put into a map for a socket."""
    return socket.region.to_bytes(8, "little")


class HashOfSockets(Entries, ShownElements):
    """User space is shown the number of a block."""

    def shown(self, state: MachineState, record: MapRecord, key: bytes) -> bytes | None:
        found = record.entries.get(key)
        return None if found is None else found[0].to_bytes(record.spec.value_size, "little")

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None:
        self._check_key(record, key)
        check_flags(record, flags, present=key in record.entries)
        block = int.from_bytes(values[0] or b"", "little")
        region = mutator.state.regions.get(block)
        if region is None or region.kind is not RegionKind.BLOCK:
            raise map_error(record, "update", "EINVAL", "elements are sockets")
        if region.status is not Status.LIVE:
            raise map_error(record, "update", "EINVAL", f"{region.name} was freed")
        writable(mutator.state, record).entries[key] = (block,)

    def _check_key(self, record: MapRecord, key: bytes) -> None:
        if key not in record.entries and len(record.entries) >= record.spec.max_entries:
            raise map_error(record, "update", "E2BIG")

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None:
        if key not in record.entries:
            raise map_error(record, "delete", "ENOENT")
        del writable(mutator.state, record).entries[key]


class ArrayOfSockets(HashOfSockets):
    """What cannot be deleted fails with another error in each of them."""

    def keys(self, record: MapRecord) -> tuple[bytes, ...]:
        return in_order(record.entries)

    def _check_key(self, record: MapRecord, key: bytes) -> None:
        if int.from_bytes(key, "little") >= record.spec.max_entries:
            raise map_error(record, "update", "E2BIG")

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None:
        there = key in record.entries
        outside = int.from_bytes(key, "little") >= record.spec.max_entries
        ops = record.type.ops
        if "lookup" not in ops and not there:  # reuseport_array_delete_elem
            raise map_error(record, "delete", "E2BIG" if outside else "ENOENT")
        if outside or ("redirect" not in ops and not there):  # xsk_map_delete_elem
            raise map_error(record, "delete", "EINVAL")
        if there:
            del writable(mutator.state, record).entries[key]
