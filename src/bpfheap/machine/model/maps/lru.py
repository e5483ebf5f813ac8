"""Hash maps that are never full (kernel/bpf/bpf_lru_list.c): elements queue up as they come, in
the order of `entries`. When room is needed, those at the head of the queue that were looked up
meanwhile go to its end once more, and the first other one goes.

Linux keeps lists by CPU, of which each approximates that.
"""

from __future__ import annotations

from bpfheap.machine.tables.common import Keeper, Table, Values, check_flags
from bpfheap.machine.tables.hash import HashElements


class LruElements(HashElements):
    """What is updated stays where it is in the queue, and counts as used."""

    def update(self, keeper: Keeper, table: Table, key: bytes, values: Values, flags: int) -> None:
        old = key in table.entries
        check_flags(table, flags, present=old)
        if not old and len(table.entries) >= table.spec.max_entries:
            table = keeper.writable(table)
            self._evict(keeper, table)
        super().update(keeper, table, key, values, flags)
        if old:
            looked_up(keeper, table, key)

    def delete(self, keeper: Keeper, table: Table, key: bytes) -> None:
        super().delete(keeper, table, key)
        table = keeper.writable(table)
        table.used -= {key}

    def _evict(self, keeper: Keeper, table: Table) -> None:
        while (key := next(iter(table.entries))) in table.used:
            table.used -= {key}
            table.entries[key] = table.entries.pop(key)
        super().delete(keeper, table, key)


def looked_up(keeper: Keeper, table: Table, key: bytes) -> None:
    """By a program: what user space or a walk only sees is not used by that."""
    if table.type.evicts and key in table.entries and key not in table.used:
        keeper.writable(table).used |= {key}
