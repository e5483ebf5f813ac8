"""Network devices and CPUs that packets can go to (kernel/bpf/devmap.c and cpumap.c). A value is an
interface (u32), or the length of a CPU's queue; what may come behind it is a program that runs
there, which nothing plays."""

from __future__ import annotations

from bpfheap.machine.tables.common import (
    Entries,
    Keeper,
    Table,
    Values,
    in_order,
    map_error,
)
from bpfheap.platform.maps import EXIST, NOEXIST

#: The longest queue of a CPU (cpu_map_update_elem).
_LONGEST = 16384


class HashOfDevices(Entries):
    """Any number can be a key; it is no matter whether an element with EXIST was there."""

    def update(self, keeper: Keeper, table: Table, key: bytes, values: Values, flags: int) -> None:
        value = values[0] or b""
        if flags > EXIST or flags < 0 or not first_word(value):
            raise map_error(table, "update", "EINVAL")
        if flags == NOEXIST and key in table.entries:
            raise map_error(table, "update", "EEXIST")
        _check_program(table, value)
        if key not in table.entries and len(table.entries) >= table.spec.max_entries:
            raise map_error(table, "update", "E2BIG")
        _put(keeper, table, key, value)

    def delete(self, keeper: Keeper, table: Table, key: bytes) -> None:
        if key not in table.entries:
            raise map_error(table, "delete", "ENOENT")
        _take(keeper, table, key)


class ArrayOfDevices(HashOfDevices):
    """An element is nothing or something; 0 makes it nothing."""

    def keys(self, table: Table) -> tuple[bytes, ...]:
        return in_order(table.entries)

    def update(self, keeper: Keeper, table: Table, key: bytes, values: Values, flags: int) -> None:
        value = values[0] or b""
        if flags > EXIST or flags < 0:
            raise map_error(table, "update", "EINVAL")
        if int.from_bytes(key, "little") >= table.spec.max_entries:
            raise map_error(table, "update", "E2BIG")
        if flags == NOEXIST:
            raise map_error(table, "update", "EEXIST")
        self._check(keeper, table, key, value)
        if first_word(value):
            _put(keeper, table, key, value)
        elif key in table.entries:
            _take(keeper, table, key)

    def _check(self, keeper: Keeper, table: Table, key: bytes, value: bytes) -> None:
        _check_program(table, value)

    def delete(self, keeper: Keeper, table: Table, key: bytes) -> None:
        if int.from_bytes(key, "little") >= table.spec.max_entries:
            raise map_error(table, "delete", "EINVAL")
        if key in table.entries:
            _take(keeper, table, key)


class ArrayOfCpus(ArrayOfDevices):
    """The key is the CPU."""

    def _check(self, keeper: Keeper, table: Table, key: bytes, value: bytes) -> None:
        if first_word(value) > _LONGEST:
            raise map_error(table, "update", "EOVERFLOW")
        if int.from_bytes(key, "little") >= keeper.cpus:
            raise map_error(table, "update", "ENODEV")
        _check_program(table, value)


def first_word(value: bytes) -> int:
    """The interface, or the length of the queue."""
    return int.from_bytes(value[:4], "little")


def _check_program(table: Table, value: bytes) -> None:
    if int.from_bytes(value[4:8], "little", signed=True) > 0:
        raise map_error(table, "update", "EINVAL", "programs of elements are not played: give 0")


def _put(keeper: Keeper, table: Table, key: bytes, value: bytes) -> None:
    old = table.entries.get(key)
    table = keeper.writable(table)
    # What was a descriptor is shown as the program's id, which is 0.
    value = value[:4].ljust(len(value), b"\0")
    table.entries[key] = keeper.create(table, key, (value,))
    if old is not None:
        keeper.retire(table, key, old)


def _take(keeper: Keeper, table: Table, key: bytes) -> None:
    old = keeper.writable(table).entries.pop(key)
    keeper.retire(table, key, old)
