"""Values that belong to something: to objects of the kernel (kernel/bpf/bpf_local_storage.c), or to
control groups that programs are attached to (kernel/bpf/local_storage.c)."""

from __future__ import annotations

from bpfheap.machine.model.maps.common import (
    Values,
    copies,
    map_error,
    new_element,
    overwrite,
    writable,
)
from bpfheap.machine.model.maps.hash import HashElements
from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord
from bpfheap.platform.maps import EXIST, F_LOCK


class OwnerElements(HashElements):
    """The key is the owner's block. There is room for each owner's."""

    def is_full(self, record: MapRecord) -> bool:
        return False


class StorageElements(HashElements):
    """The key is the number of a control group, with or without how the program is attached. Linux
    makes elements when programs are attached; here they are there once somebody asks for one."""

    def made(self, mutator: Mutator, record: MapRecord, key: bytes) -> tuple[int, ...]:
        """An element, which is made if it is not there."""
        found = record.entries.get(key)
        if found is None:
            cpus = copies(mutator, record)
            found = new_element(mutator, record, key, (None,) * cpus, cpus=cpus)
            writable(mutator.state, record).entries[key] = found
        return found

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None:
        if flags & ~(F_LOCK | EXIST):
            raise map_error(record, "update", "EINVAL")
        overwrite(mutator, self.made(mutator, record, key), values)

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None:
        raise map_error(record, "delete", "EINVAL", "values go with their control group")
