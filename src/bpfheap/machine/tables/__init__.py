"""Maps whose elements Python keeps, on both machines: one implementation for each shape and what it
holds. A machine brings the memory of values that programs may point at (`common.Keeper`)."""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.machine.tables.common import Elements
from bpfheap.machine.tables.devices import ArrayOfCpus, ArrayOfDevices, HashOfDevices
from bpfheap.machine.tables.events import EventArray
from bpfheap.machine.tables.numbers import NumberArray
from bpfheap.machine.tables.owners import OwnerElements, StorageElements
from bpfheap.machine.tables.queue import FilterElements, QueueElements, StackElements
from bpfheap.machine.tables.sockets import ArrayOfSockets, HashOfSockets
from bpfheap.machine.tables.stacks import StacksOfCallers
from bpfheap.machine.tables.trie import TrieElements
from bpfheap.platform.maps import Holds, MapType, Shape

TABLES: Mapping[tuple[Shape, Holds], Elements] = {
    (Shape.ARRAY, Holds.EVENTS): EventArray(),
    (Shape.HASH, Holds.STACKS): StacksOfCallers(),
    (Shape.ARRAY, Holds.DEVICES): ArrayOfDevices(),
    (Shape.HASH, Holds.DEVICES): HashOfDevices(),
    (Shape.ARRAY, Holds.CPUS): ArrayOfCpus(),
    (Shape.ARRAY, Holds.SOCKETS): ArrayOfSockets(),
    (Shape.HASH, Holds.SOCKETS): HashOfSockets(),
    (Shape.OWNERS, Holds.VALUES): OwnerElements(),
    (Shape.HASH, Holds.STORAGE): StorageElements(),
    (Shape.ARRAY, Holds.CGROUPS): NumberArray(),
    (Shape.TRIE, Holds.VALUES): TrieElements(),
    (Shape.QUEUE, Holds.VALUES): QueueElements(),
    (Shape.STACK, Holds.VALUES): StackElements(),
    (Shape.FILTER, Holds.VALUES): FilterElements(),
}


def elements(map_type: MapType) -> Elements:
    """The implementation for maps of a type that is one of these."""
    return TABLES[map_type.shape, map_type.holds]
