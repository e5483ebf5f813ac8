"""Values that belong to something: to objects of the kernel (kernel/bpf/bpf_local_storage.c), or to
control groups that programs are attached to (kernel/bpf/local_storage.c)."""

from __future__ import annotations

from collections.abc import Iterable

from bpfheap.machine.tables.common import (
    Keeper,
    Table,
    Values,
    copies,
    map_error,
)
from bpfheap.machine.tables.hash import HashElements
from bpfheap.platform.maps import EXIST, F_LOCK, Shape


class OwnerElements(HashElements):
    """The key is the owner's block. There is room for each owner's."""

    def is_full(self, table: Table) -> bool:
        return False


class StorageElements(HashElements):
    """The key is the number of a control group, with or without how the program is attached. Linux
    makes elements when programs are attached; here they are there once somebody asks for one."""

    def made(self, keeper: Keeper, table: Table, key: bytes) -> tuple[int, ...]:
        """An element, which is made if it is not there."""
        found = table.entries.get(key)
        if found is None:
            found = keeper.create(table, key, (None,) * copies(keeper, table))
            keeper.writable(table).entries[key] = found
        return found

    def update(self, keeper: Keeper, table: Table, key: bytes, values: Values, flags: int) -> None:
        if flags & ~(F_LOCK | EXIST):
            raise map_error(table, "update", "EINVAL")
        keeper.overwrite(table, self.made(keeper, table, key), values)

    def delete(self, keeper: Keeper, table: Table, key: bytes) -> None:
        raise map_error(table, "delete", "EINVAL", "values go with their control group")


def key_of_owner(block: int) -> bytes:
    """What stands for the descriptor of an object."""
    return block.to_bytes(4, "little")


def forget(keeper: Keeper, tables: Iterable[Table], block: int) -> None:
    """An object goes, and what belongs to it; of a socket, it leaves its maps (sock_map_unhash and
    its like)."""
    key = key_of_owner(block)
    for table in tuple(tables):
        if table.type.borrows and (block,) in table.entries.values():
            rest = {k: places for k, places in table.entries.items() if places != (block,)}
            keeper.writable(table).entries = rest
        if table.type.shape is Shape.OWNERS and key in table.entries:
            OwnerElements().delete(keeper, table, key)
