"""Arrays, per CPU or not (kernel/bpf/arraymap.c).

An element gets its region when it is first touched; until then it is 0, which nobody can tell
from having one.
"""

from __future__ import annotations

from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord
from bpfheap.machine.tables.common import Values, copies, has_lock, map_error
from bpfheap.platform.maps import EXIST, F_LOCK, NOEXIST


class ArrayElements:
    """All indices exist from the start and for good."""

    def regions(self, mutator: Mutator, record: MapRecord, key: bytes) -> tuple[int, ...] | None:
        found = record.entries.get(key)
        if found is None and self.has(record, key):
            found = mutator.create(record, key, (None,) * copies(mutator, record))
            mutator.writable(record).entries[key] = found
        return found

    def has(self, record: MapRecord, key: bytes) -> bool:
        return int.from_bytes(key, "little") < record.spec.max_entries

    def keys(self, record: MapRecord) -> tuple[bytes, ...]:
        return tuple(i.to_bytes(4, "little") for i in range(record.spec.max_entries))

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None:
        locked = flags & F_LOCK
        flags &= ~F_LOCK
        if flags > EXIST or flags < 0:
            raise map_error(record, "update", "EINVAL")
        regions = self.regions(mutator, record, key)
        if regions is None:
            raise map_error(record, "update", "E2BIG")
        if flags == NOEXIST:
            raise map_error(record, "update", "EEXIST")
        if locked and not has_lock(record):
            raise map_error(record, "update", "EINVAL")
        mutator.overwrite(record, regions, values)

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None:
        raise map_error(record, "delete", "EINVAL", "elements of an array cannot be deleted")
