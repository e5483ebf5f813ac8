"""Stacks of callers (kernel/bpf/stackmap.c): `values` are their bytes, by the bucket that they
belong into."""

from __future__ import annotations

from errno import EEXIST, ENOMEM
from zlib import crc32

from bpfheap.machine.tables.apart import ShownElements
from bpfheap.machine.tables.common import Keeper, Table, in_order, map_error


class StacksOfCallers(ShownElements):
    """There are as many buckets as the next power of two says. Which one a stack belongs into is
    up to a machine."""

    def keys(self, table: Table) -> tuple[bytes, ...]:
        return in_order(table.values)

    def shown(self, table: Table, key: bytes) -> bytes | None:
        found = table.values.get(key)
        return None if found is None else found.ljust(table.spec.value_size, b"\0")

    def delete(self, keeper: Keeper, table: Table, key: bytes) -> None:
        if int.from_bytes(key, "little") >= _buckets(table):
            raise map_error(table, "delete", "E2BIG")
        if key not in table.values:
            raise map_error(table, "delete", "ENOENT")
        del keeper.writable(table).values[key]


def _buckets(table: Table) -> int:
    return 1 << (table.spec.max_entries - 1).bit_length()


def keep(keeper: Keeper, table: Table, stack: bytes, *, fast: bool, reuse: bool) -> int:
    """The bucket that a stack is in, or a negative errno: EEXIST if another one is there,
    unless that is to go (`reuse`) or looks like it (`fast`); ENOMEM if there is no room, which is
    needed also in place of another one."""
    number = crc32(stack)
    at = number & (_buckets(table) - 1)
    key = at.to_bytes(4, "little")
    there = table.values.get(key)
    if there == stack or (fast and there is not None and crc32(there) == number):
        return at
    if there is not None and not reuse:
        return -EEXIST
    if len(table.values) >= table.spec.max_entries:
        return -ENOMEM
    keeper.writable(table).values[key] = stack
    return at
