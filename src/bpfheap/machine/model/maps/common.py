"""What the model machine's maps are."""

from __future__ import annotations

from typing import Protocol

from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord
from bpfheap.machine.tables.common import Values


class Elements(Protocol):
    """As machine/tables/common.py has it, of a map of this machine."""

    def regions(
        self, mutator: Mutator, record: MapRecord, key: bytes, /
    ) -> tuple[int, ...] | None: ...

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int, /
    ) -> None: ...

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes, /) -> None: ...

    def has(self, record: MapRecord, key: bytes, /) -> bool: ...

    def keys(self, record: MapRecord, /) -> tuple[bytes, ...]: ...
