"""Arrays of programs (prog_array_map_ops in kernel/bpf/arraymap.c): values are ids of programs,
written by user space only; programs jump there."""

from __future__ import annotations

from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord
from bpfheap.machine.tables.common import Values, in_order, map_error
from bpfheap.platform.maps import ANY


class ProgramArray:
    """An element has no region: no program can look at it."""

    def regions(self, mutator: Mutator, record: MapRecord, key: bytes) -> tuple[int, ...] | None:
        return None

    def has(self, record: MapRecord, key: bytes) -> bool:
        return key in record.inner

    def keys(self, record: MapRecord) -> tuple[bytes, ...]:
        return in_order(record.inner)

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None:
        if flags != ANY:
            raise map_error(record, "update", "EINVAL")
        self._check_index(record, key, "update")
        program = int.from_bytes(values[0] or b"", "little")
        mutator.writable(record).inner[key] = program

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None:
        self._check_index(record, key, "delete")
        if key not in record.inner:
            raise map_error(record, "delete", "ENOENT")
        del mutator.writable(record).inner[key]

    def _check_index(self, record: MapRecord, key: bytes, doing: str) -> None:
        if int.from_bytes(key, "little") >= record.spec.max_entries:
            raise map_error(record, doing, "E2BIG")
