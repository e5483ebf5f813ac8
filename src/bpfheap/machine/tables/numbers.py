"""Arrays of what user space puts there by a descriptor (bpf_fd_array_map_update_elem in
kernel/bpf/arraymap.c), and knows by a number: `inner` has it."""

from __future__ import annotations

from bpfheap.machine.tables.apart import ShownElements
from bpfheap.machine.tables.common import Keeper, Table, Values, in_order, map_error
from bpfheap.platform.maps import ANY


class NumberArray(ShownElements):
    """A value is a number: any one, such as the id of a control group."""

    def limit(self, table: Table, cpus: int) -> int:
        """How many elements there can be."""
        return table.spec.max_entries

    def check_value(self, keeper: Keeper, table: Table, number: int) -> None:
        """Raises MapError for what cannot be there."""

    def keys(self, table: Table) -> tuple[bytes, ...]:
        return in_order(table.inner)

    def shown(self, table: Table, key: bytes) -> bytes | None:
        found = table.inner.get(key)
        return None if found is None else found.to_bytes(4, "little")

    def update(self, keeper: Keeper, table: Table, key: bytes, values: Values, flags: int) -> None:
        if flags != ANY:
            raise map_error(table, "update", "EINVAL")
        self._check_index(keeper, table, key, "update")
        number = int.from_bytes(values[0] or b"", "little")
        self.check_value(keeper, table, number)
        keeper.writable(table).inner[key] = number

    def delete(self, keeper: Keeper, table: Table, key: bytes) -> None:
        self._check_index(keeper, table, key, "delete")
        if key not in table.inner:
            raise map_error(table, "delete", "ENOENT")
        del keeper.writable(table).inner[key]

    def _check_index(self, keeper: Keeper, table: Table, key: bytes, doing: str) -> None:
        if int.from_bytes(key, "little") >= self.limit(table, keeper.cpus):
            raise map_error(table, doing, "E2BIG")
