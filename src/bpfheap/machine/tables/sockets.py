"""Sockets that packets can go to (net/core/sock_map.c, net/xdp/xskmap.c and
kernel/bpf/reuseport_array.c): elements are blocks, which belong to somebody else."""

from __future__ import annotations

from bpfheap.machine.tables.apart import ShownElements
from bpfheap.machine.tables.common import (
    Entries,
    Keeper,
    Table,
    Values,
    check_flags,
    in_order,
    map_error,
)


def element_of(block: int) -> bytes:
    """What is put into a map for a socket."""
    return block.to_bytes(8, "little")


class HashOfSockets(Entries, ShownElements):
    """User space is shown the number of a block."""

    def shown(self, table: Table, key: bytes) -> bytes | None:
        found = table.entries.get(key)
        return None if found is None else found[0].to_bytes(table.spec.value_size, "little")

    def update(self, keeper: Keeper, table: Table, key: bytes, values: Values, flags: int) -> None:
        self._check_key(table, key)
        check_flags(table, flags, present=key in table.entries)
        block = int.from_bytes(values[0] or b"", "little")
        wrong = keeper.wrong_block(block)
        if wrong is not None:
            raise map_error(table, "update", "EINVAL", wrong)
        keeper.writable(table).entries[key] = (block,)

    def _check_key(self, table: Table, key: bytes) -> None:
        if key not in table.entries and len(table.entries) >= table.spec.max_entries:
            raise map_error(table, "update", "E2BIG")

    def delete(self, keeper: Keeper, table: Table, key: bytes) -> None:
        if key not in table.entries:
            raise map_error(table, "delete", "ENOENT")
        del keeper.writable(table).entries[key]


class ArrayOfSockets(HashOfSockets):
    """What cannot be deleted fails with another error in each of them."""

    def keys(self, table: Table) -> tuple[bytes, ...]:
        return in_order(table.entries)

    def _check_key(self, table: Table, key: bytes) -> None:
        if int.from_bytes(key, "little") >= table.spec.max_entries:
            raise map_error(table, "update", "E2BIG")

    def delete(self, keeper: Keeper, table: Table, key: bytes) -> None:
        there = key in table.entries
        outside = int.from_bytes(key, "little") >= table.spec.max_entries
        ops = table.type.ops
        if "lookup" not in ops and not there:  # reuseport_array_delete_elem
            raise map_error(table, "delete", "E2BIG" if outside else "ENOENT")
        if outside or ("redirect" not in ops and not there):  # xsk_map_delete_elem
            raise map_error(table, "delete", "EINVAL")
        if there:
            del keeper.writable(table).entries[key]
