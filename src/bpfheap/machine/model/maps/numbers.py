"""Arrays of what user space puts there by a descriptor (bpf_fd_array_map_update_elem in
kernel/bpf/arraymap.c), and knows by a number: `inner` has it."""

from __future__ import annotations

from bpfheap.machine.model.maps.apart import ShownElements
from bpfheap.machine.model.maps.common import Values, in_order, map_error, writable
from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord
from bpfheap.machine.model.state import MachineState
from bpfheap.platform.maps import ANY


class NumberArray(ShownElements):
    """A value is a number: any one, such as the id of a control group."""

    def limit(self, record: MapRecord, cpus: int) -> int:
        """How many elements there can be."""
        return record.spec.max_entries

    def check_value(self, mutator: Mutator, record: MapRecord, number: int) -> None:
        """Raises MapError for what cannot be there."""

    def keys(self, record: MapRecord) -> tuple[bytes, ...]:
        return in_order(record.inner)

    def shown(self, state: MachineState, record: MapRecord, key: bytes) -> bytes | None:
        found = record.inner.get(key)
        return None if found is None else found.to_bytes(4, "little")

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None:
        if flags != ANY:
            raise map_error(record, "update", "EINVAL")
        self._check_index(mutator, record, key, "update")
        number = int.from_bytes(values[0] or b"", "little")
        self.check_value(mutator, record, number)
        writable(mutator.state, record).inner[key] = number

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None:
        self._check_index(mutator, record, key, "delete")
        if key not in record.inner:
            raise map_error(record, "delete", "ENOENT")
        del writable(mutator.state, record).inner[key]

    def _check_index(self, mutator: Mutator, record: MapRecord, key: bytes, doing: str) -> None:
        if int.from_bytes(key, "little") >= self.limit(record, mutator.options.cpus):
            raise map_error(record, doing, "E2BIG")
