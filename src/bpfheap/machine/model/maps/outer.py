"""Maps of maps (kernel/bpf/map_in_map.c): values are ids of maps, written by user space only."""

from __future__ import annotations

from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord
from bpfheap.machine.tables.common import Values, check_flags, in_order, map_error
from bpfheap.platform.maps import ANY


class HashOfMaps:
    """An element is the region of the inner map."""

    def regions(self, mutator: Mutator, record: MapRecord, key: bytes) -> tuple[int, ...] | None:
        inner = record.inner.get(key)
        return None if inner is None else (mutator.state.maps[inner].region,)

    def has(self, record: MapRecord, key: bytes) -> bool:
        return key in record.inner

    def keys(self, record: MapRecord) -> tuple[bytes, ...]:
        return tuple(record.inner)

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None:
        self._admit(record, key, flags)
        mutator.writable(record).inner[key] = self._inner(mutator, record, values)

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None:
        self._admit_delete(record, key)
        del mutator.writable(record).inner[key]

    def _admit(self, record: MapRecord, key: bytes, flags: int) -> None:
        check_flags(record, flags, present=key in record.inner)
        if key not in record.inner and len(record.inner) >= record.spec.max_entries:
            raise map_error(record, "update", "E2BIG")

    def _admit_delete(self, record: MapRecord, key: bytes) -> None:
        if key not in record.inner:
            raise map_error(record, "delete", "ENOENT")

    def _inner(self, mutator: Mutator, record: MapRecord, values: Values) -> int:
        inner = int.from_bytes(values[0] or b"", "little")
        if inner not in mutator.state.maps:
            raise map_error(record, "update", "EINVAL", f"there is no map with id {inner}")
        return inner


class ArrayOfMaps(HashOfMaps):
    """As above, with the rules of bpf_fd_array_map_update_elem: any index, no flags."""

    def keys(self, record: MapRecord) -> tuple[bytes, ...]:
        return in_order(record.inner)

    def _admit(self, record: MapRecord, key: bytes, flags: int) -> None:
        if flags != ANY:
            raise map_error(record, "update", "EINVAL")
        if int.from_bytes(key, "little") >= record.spec.max_entries:
            raise map_error(record, "update", "E2BIG")

    def _admit_delete(self, record: MapRecord, key: bytes) -> None:
        if int.from_bytes(key, "little") >= record.spec.max_entries:
            raise map_error(record, "delete", "E2BIG")
        super()._admit_delete(record, key)
