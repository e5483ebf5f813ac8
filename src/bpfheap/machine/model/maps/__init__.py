"""Maps: one implementation for each shape and what it holds, found by the map type's row. Those
that the native machine leaves to Python, too, are in machine/tables/."""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.machine.model.maps.array import ArrayElements
from bpfheap.machine.model.maps.common import Elements
from bpfheap.machine.model.maps.lru import LruElements
from bpfheap.machine.model.maps.outer import ArrayOfMaps, HashOfMaps
from bpfheap.machine.model.maps.progs import ProgramArray
from bpfheap.machine.model.maps.ring import NoElements
from bpfheap.machine.tables import TABLES
from bpfheap.machine.tables.hash import HashElements
from bpfheap.platform.maps import Holds, MapType, Shape

ELEMENTS: Mapping[tuple[Shape, Holds], Elements] = {
    **TABLES,
    (Shape.HASH, Holds.VALUES): HashElements(),
    (Shape.LRU, Holds.VALUES): LruElements(),
    (Shape.ARRAY, Holds.VALUES): ArrayElements(),
    (Shape.HASH, Holds.MAPS): HashOfMaps(),
    (Shape.ARRAY, Holds.MAPS): ArrayOfMaps(),
    (Shape.ARRAY, Holds.PROGRAMS): ProgramArray(),
    (Shape.NONE, Holds.RECORDS): NoElements(),
    (Shape.NONE, Holds.NOTHING): NoElements(),
}


def elements(map_type: MapType) -> Elements:
    """The implementation for maps of a type."""
    return ELEMENTS[map_type.shape, map_type.holds]
