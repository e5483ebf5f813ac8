"""Network devices and CPUs that packets can go to (kernel/bpf/devmap.c and cpumap.c). A value is an
interface (u32), or the length of a CPU's queue; what may come behind it is a program that runs
there, which nothing plays."""

from __future__ import annotations

from bpfheap.machine.model.maps.common import (
    Entries,
    Values,
    in_order,
    key_name,
    map_error,
    new_element,
    writable,
)
from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord
from bpfheap.platform.maps import EXIST, NOEXIST

#: The longest queue of a CPU (cpu_map_update_elem).
_LONGEST = 16384


class HashOfDevices(Entries):
    """Any number can be a key; it is no matter whether an element with EXIST was there."""

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None:
        value = values[0] or b""
        if flags > EXIST or flags < 0 or not first_word(value):
            raise map_error(record, "update", "EINVAL")
        if flags == NOEXIST and key in record.entries:
            raise map_error(record, "update", "EEXIST")
        _check_program(record, value)
        if key not in record.entries and len(record.entries) >= record.spec.max_entries:
            raise map_error(record, "update", "E2BIG")
        _put(mutator, record, key, value)

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None:
        if key not in record.entries:
            raise map_error(record, "delete", "ENOENT")
        _take(mutator, record, key)


class ArrayOfDevices(HashOfDevices):
    """An element is nothing or something; 0 makes it nothing."""

    def keys(self, record: MapRecord) -> tuple[bytes, ...]:
        return in_order(record.entries)

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None:
        value = values[0] or b""
        if flags > EXIST or flags < 0:
            raise map_error(record, "update", "EINVAL")
        if int.from_bytes(key, "little") >= record.spec.max_entries:
            raise map_error(record, "update", "E2BIG")
        if flags == NOEXIST:
            raise map_error(record, "update", "EEXIST")
        self._check(mutator, record, key, value)
        if first_word(value):
            _put(mutator, record, key, value)
        elif key in record.entries:
            _take(mutator, record, key)

    def _check(self, mutator: Mutator, record: MapRecord, key: bytes, value: bytes) -> None:
        _check_program(record, value)

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None:
        if int.from_bytes(key, "little") >= record.spec.max_entries:
            raise map_error(record, "delete", "EINVAL")
        if key in record.entries:
            _take(mutator, record, key)


class ArrayOfCpus(ArrayOfDevices):
    """The key is the CPU."""

    def _check(self, mutator: Mutator, record: MapRecord, key: bytes, value: bytes) -> None:
        if first_word(value) > _LONGEST:
            raise map_error(record, "update", "EOVERFLOW")
        if int.from_bytes(key, "little") >= mutator.options.cpus:
            raise map_error(record, "update", "ENODEV")
        _check_program(record, value)


def first_word(value: bytes) -> int:
    """The interface, or the length of the queue."""
    return int.from_bytes(value[:4], "little")


def _check_program(record: MapRecord, value: bytes) -> None:
    if int.from_bytes(value[4:8], "little", signed=True) > 0:
        raise map_error(record, "update", "EINVAL", "programs of elements are not played: give 0")


def _put(mutator: Mutator, record: MapRecord, key: bytes, value: bytes) -> None:
    old = record.entries.get(key)
    record = writable(mutator.state, record)
    # What was a descriptor is shown as the program's id, which is 0.
    value = value[:4].ljust(len(value), b"\0")
    record.entries[key] = new_element(mutator, record, key, (value,), cpus=1)
    if old is not None:
        mutator.retire(old, f"{record.spec.name}[{key_name(key)}]")


def _take(mutator: Mutator, record: MapRecord, key: bytes) -> None:
    old = writable(mutator.state, record).entries.pop(key)
    mutator.retire(old, f"{record.spec.name}[{key_name(key)}]")
