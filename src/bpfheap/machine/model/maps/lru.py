"""Hash maps that are never full (kernel/bpf/bpf_lru_list.c): elements queue up as they come, in
the order of `entries`. When room is needed, those at the head of the queue that were looked up
meanwhile go to its end once more, and the first other one goes.

Linux keeps lists by CPU, of which each approximates that.
"""

from __future__ import annotations

from bpfheap.machine.model.maps.common import Values, check_flags, writable
from bpfheap.machine.model.maps.hash import HashElements
from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord


class LruElements(HashElements):
    """What is updated stays where it is in the queue, and counts as used."""

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None:
        old = key in record.entries
        check_flags(record, flags, present=old)
        if not old and len(record.entries) >= record.spec.max_entries:
            self._evict(mutator, writable(mutator.state, record))
            record = mutator.state.maps[record.id]
        super().update(mutator, record, key, values, flags)
        if old:
            looked_up(mutator, record, key)

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None:
        super().delete(mutator, record, key)
        record = writable(mutator.state, record)
        record.used -= {key}

    def _evict(self, mutator: Mutator, record: MapRecord) -> None:
        while (key := next(iter(record.entries))) in record.used:
            record.used -= {key}
            record.entries[key] = record.entries.pop(key)
        super().delete(mutator, record, key)


def looked_up(mutator: Mutator, record: MapRecord, key: bytes) -> None:
    """By a program: what user space or a walk only sees is not used by that."""
    if record.type.evicts and key in record.entries and key not in record.used:
        writable(mutator.state, record).used |= {key}
