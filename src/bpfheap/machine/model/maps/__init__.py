"""Maps: one implementation per shape, found by the map type's row."""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.machine.model.maps.array import ArrayElements
from bpfheap.machine.model.maps.common import Elements
from bpfheap.machine.model.maps.hash import HashElements
from bpfheap.machine.model.maps.lru import LruElements
from bpfheap.machine.model.maps.outer import ArrayOfMaps, HashOfMaps
from bpfheap.machine.model.maps.progs import ProgramArray
from bpfheap.machine.model.maps.ring import NoElements
from bpfheap.platform.maps import MapType, Shape

#: (shape, its values are maps) -> implementation.
ELEMENTS: Mapping[tuple[Shape, bool], Elements] = {
    (Shape.HASH, False): HashElements(),
    (Shape.LRU, False): LruElements(),
    (Shape.ARRAY, False): ArrayElements(),
    (Shape.HASH, True): HashOfMaps(),
    (Shape.ARRAY, True): ArrayOfMaps(),
    (Shape.PROGS, False): ProgramArray(),
    (Shape.RING, False): NoElements(),
    (Shape.NONE, False): NoElements(),
}


def elements(map_type: MapType) -> Elements:
    """The implementation for maps of a type."""
    return ELEMENTS[map_type.shape, map_type.outer]
