"""Maps: one implementation for each shape and what it holds, found by the map type's row."""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.machine.model.maps.array import ArrayElements
from bpfheap.machine.model.maps.common import Elements
from bpfheap.machine.model.maps.devices import ArrayOfCpus, ArrayOfDevices, HashOfDevices
from bpfheap.machine.model.maps.events import EventArray
from bpfheap.machine.model.maps.hash import HashElements
from bpfheap.machine.model.maps.lru import LruElements
from bpfheap.machine.model.maps.numbers import NumberArray
from bpfheap.machine.model.maps.outer import ArrayOfMaps, HashOfMaps
from bpfheap.machine.model.maps.owners import OwnerElements, StorageElements
from bpfheap.machine.model.maps.progs import ProgramArray
from bpfheap.machine.model.maps.queue import FilterElements, QueueElements, StackElements
from bpfheap.machine.model.maps.ring import NoElements
from bpfheap.machine.model.maps.sockets import ArrayOfSockets, HashOfSockets
from bpfheap.machine.model.maps.stacks import StackElements as StacksOfCallers
from bpfheap.machine.model.maps.trie import TrieElements
from bpfheap.platform.maps import Holds, MapType, Shape

ELEMENTS: Mapping[tuple[Shape, Holds], Elements] = {
    (Shape.HASH, Holds.VALUES): HashElements(),
    (Shape.LRU, Holds.VALUES): LruElements(),
    (Shape.ARRAY, Holds.VALUES): ArrayElements(),
    (Shape.HASH, Holds.MAPS): HashOfMaps(),
    (Shape.ARRAY, Holds.MAPS): ArrayOfMaps(),
    (Shape.ARRAY, Holds.PROGRAMS): ProgramArray(),
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
    (Shape.NONE, Holds.RECORDS): NoElements(),
    (Shape.NONE, Holds.NOTHING): NoElements(),
}


def elements(map_type: MapType) -> Elements:
    """The implementation for maps of a type."""
    return ELEMENTS[map_type.shape, map_type.holds]
