"""What maps share whose elements no program can point at."""

from __future__ import annotations

from abc import ABC, abstractmethod

from bpfheap.machine.tables.common import Keeper, Table, Values, map_error


class ShownElements(ABC):
    """Elements without memory that programs reach: user space is shown what is made for it."""

    @abstractmethod
    def shown(self, table: Table, key: bytes) -> bytes | None:
        """A value, None if there is none."""

    def regions(self, keeper: Keeper, table: Table, key: bytes) -> tuple[int, ...] | None:
        return None

    def has(self, table: Table, key: bytes) -> bool:
        return key in self.keys(table)

    def keys(self, table: Table) -> tuple[bytes, ...]:
        return ()

    def update(self, keeper: Keeper, table: Table, key: bytes, values: Values, flags: int) -> None:
        raise map_error(table, "update", "EINVAL")

    def delete(self, keeper: Keeper, table: Table, key: bytes) -> None:
        raise map_error(table, "delete", "EINVAL")
