"""Hash maps, per CPU or not (kernel/bpf/hashtab.c). Iteration is in the order of insertion."""

from __future__ import annotations

from bpfheap.machine.model.maps.common import (
    Entries,
    Values,
    check_flags,
    copies,
    key_name,
    map_error,
    new_element,
    overwrite,
    writable,
)
from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord
from bpfheap.platform.maps import F_LOCK


class HashElements(Entries):
    """An update makes a new value and retires the old one; per CPU, it changes it in place, and so
    it does with BPF_F_LOCK, when objects that the value holds stay."""

    def is_full(self, record: MapRecord) -> bool:
        return len(record.entries) >= record.spec.max_entries

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None:
        old = record.entries.get(key)
        check_flags(record, flags, present=old is not None)
        if old is not None and record.type.per_cpu:
            overwrite(mutator, old, values)
            return
        if old is not None and flags & F_LOCK:
            assert values[0] is not None
            mutator.state.fill(old[0], values[0])
            return
        if old is None and self.is_full(record):
            raise map_error(record, "update", "E2BIG")
        record = writable(mutator.state, record)
        record.entries[key] = new_element(
            mutator, record, key, values, cpus=copies(mutator, record)
        )
        if old is not None:
            mutator.retire(old, f"{record.spec.name}[{key_name(key)}]")

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None:
        if key not in record.entries:
            raise map_error(record, "delete", "ENOENT")
        old = writable(mutator.state, record).entries.pop(key)
        mutator.retire(old, f"{record.spec.name}[{key_name(key)}]")
