"""What maps share whose elements no program can point at."""

from __future__ import annotations

from abc import ABC, abstractmethod

from bpfheap.machine.model.maps.common import Values, map_error
from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord
from bpfheap.machine.model.state import MachineState


class ShownElements(ABC):
    """Elements without regions: their bytes are made when user space asks for them."""

    @abstractmethod
    def shown(self, state: MachineState, record: MapRecord, key: bytes) -> bytes | None:
        """A value, None if there is none."""

    def regions(self, mutator: Mutator, record: MapRecord, key: bytes) -> tuple[int, ...] | None:
        return None

    def has(self, record: MapRecord, key: bytes) -> bool:
        return key in self.keys(record)

    def keys(self, record: MapRecord) -> tuple[bytes, ...]:
        return ()

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None:
        raise map_error(record, "update", "EINVAL")

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None:
        raise map_error(record, "delete", "EINVAL")
