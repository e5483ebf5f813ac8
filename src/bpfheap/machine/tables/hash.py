"""Hash maps, per CPU or not (kernel/bpf/hashtab.c). Iteration is in the order of insertion."""

from __future__ import annotations

from bpfheap.machine.tables.common import (
    Entries,
    Keeper,
    Table,
    Values,
    check_flags,
    map_error,
)
from bpfheap.platform.maps import F_LOCK


class HashElements(Entries):
    """An update makes a new value and retires the old one; per CPU, it changes it in place, and so
    it does with BPF_F_LOCK, when objects that the value holds stay."""

    def is_full(self, table: Table) -> bool:
        return len(table.entries) >= table.spec.max_entries

    def update(self, keeper: Keeper, table: Table, key: bytes, values: Values, flags: int) -> None:
        old = table.entries.get(key)
        check_flags(table, flags, present=old is not None)
        if old is not None and table.type.per_cpu:
            keeper.overwrite(table, old, values)
            return
        if old is not None and flags & F_LOCK:
            assert values[0] is not None
            keeper.fill(table, old[0], values[0])
            return
        if old is None and self.is_full(table):
            raise map_error(table, "update", "E2BIG")
        table = keeper.writable(table)
        table.entries[key] = keeper.create(table, key, values)
        if old is not None:
            keeper.retire(table, key, old)

    def delete(self, keeper: Keeper, table: Table, key: bytes) -> None:
        if key not in table.entries:
            raise map_error(table, "delete", "ENOENT")
        keeper.retire(table, key, keeper.writable(table).entries.pop(key))
