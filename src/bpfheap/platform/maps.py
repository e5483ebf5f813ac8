"""Map types: one row each. What a program, the runtime or a machine may do with a map of a type
follows from its row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag, StrEnum


class Shape(StrEnum):
    """How keys lead to values; a machine has one implementation per shape."""

    ARRAY = "array"
    HASH = "hash"
    RING = "ring"
    NONE = "none"  # an allocator has no elements


class MapFlag(IntFlag):
    """Flags of map creation and of updates (enum in uapi/linux/bpf.h)."""

    NO_PREALLOC = 1 << 0
    RDONLY_PROG = 1 << 7
    WRONLY_PROG = 1 << 8
    MMAPABLE = 1 << 10


ANY, NOEXIST, EXIST = 0, 1, 2


_NO_FLAGS = MapFlag(0)


@dataclass(frozen=True, slots=True)
class MapType:
    """`number` as in enum bpf_map_type. `outer`: its values are maps. `key_size` is the only one
    allowed, None if free. `ops` are the operations that programs may ask for
    (check_map_func_compatibility). `kptrs`: values may hold kptr fields."""

    name: str
    number: int
    shape: Shape
    ops: frozenset[str]
    key_size: int | None = None
    per_cpu: bool = False
    outer: bool = False
    kptrs: bool = False
    flags: MapFlag = _NO_FLAGS

    @property
    def c_name(self) -> str:
        return f"BPF_MAP_TYPE_{self.name.upper()}"


# Programs may ask an array to delete, and get -EINVAL.
_ELEMENTS = frozenset({"lookup", "update", "delete", "iterate"})
_LOOKUP = frozenset({"lookup"})
_ACCESS = MapFlag.RDONLY_PROG | MapFlag.WRONLY_PROG

#: The allocator's number lies far above those of the kernel, which has no such type.
ALLOCATOR_NUMBER = 1000

MAP_TYPES: tuple[MapType, ...] = (
    MapType("hash", 1, Shape.HASH, _ELEMENTS, kptrs=True, flags=_ACCESS | MapFlag.NO_PREALLOC),
    MapType(
        "array", 2, Shape.ARRAY, _ELEMENTS, key_size=4, kptrs=True, flags=_ACCESS | MapFlag.MMAPABLE
    ),
    MapType("percpu_hash", 5, Shape.HASH, _ELEMENTS, per_cpu=True, kptrs=True,
            flags=_ACCESS | MapFlag.NO_PREALLOC),
    MapType("percpu_array", 6, Shape.ARRAY, _ELEMENTS, key_size=4, per_cpu=True, kptrs=True,
            flags=_ACCESS),
    MapType("array_of_maps", 12, Shape.ARRAY, _LOOKUP, key_size=4, outer=True),
    MapType("hash_of_maps", 13, Shape.HASH, _LOOKUP, outer=True, flags=MapFlag.NO_PREALLOC),
    MapType("ringbuf", 27, Shape.RING, frozenset({"output"}), key_size=0),
    MapType("allocator", ALLOCATOR_NUMBER, Shape.NONE, frozenset({"alloc"}), key_size=0),
)  # fmt: skip

BY_NUMBER: dict[int, MapType] = {t.number: t for t in MAP_TYPES}
BY_NAME: dict[str, MapType] = {t.name: t for t in MAP_TYPES}
