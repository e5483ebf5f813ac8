"""Map types: one row each. What a program, the runtime or a machine may do with a map of a type
follows from its row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag, StrEnum


class Shape(StrEnum):
    """How keys lead to values; a machine has one implementation per shape."""

    ARRAY = "array"
    HASH = "hash"
    LRU = "lru"  # a hash map that is never full: what is not used goes
    RING = "ring"
    PROGS = "progs"  # programs by index; programs can only jump there
    NONE = "none"  # an allocator has no elements


class MapFlag(IntFlag):
    """Flags of map creation (enum in uapi/linux/bpf.h). NUMA_NODE, ZERO_SEED and INNER_MAP change
    nothing in user space: memory has no nodes here, and arrays of any length may be inner maps."""

    NO_PREALLOC = 1 << 0
    NUMA_NODE = 1 << 2
    ZERO_SEED = 1 << 6
    RDONLY_PROG = 1 << 7
    WRONLY_PROG = 1 << 8
    MMAPABLE = 1 << 10
    INNER_MAP = 1 << 12


ANY, NOEXIST, EXIST = 0, 1, 2
#: With one of these: take the value's bpf_spin_lock meanwhile.
F_LOCK = 4


_NO_FLAGS = MapFlag(0)


@dataclass(frozen=True, slots=True)
class MapType:
    """`number` as in enum bpf_map_type. `outer`: its values are maps. `key_size` is the only one
    allowed, None if free. `ops` are the operations that programs may ask for
    (check_map_func_compatibility). `kptrs`: values may hold kptr fields. `sleepable`: programs that
    may sleep can use it (check_map_prog_compatibility). `flags` may be given when a map is
    created."""

    name: str
    number: int
    shape: Shape
    ops: frozenset[str]
    key_size: int | None = None
    per_cpu: bool = False
    outer: bool = False
    kptrs: bool = False
    sleepable: bool = True
    flags: MapFlag = _NO_FLAGS

    @property
    def c_name(self) -> str:
        return f"BPF_MAP_TYPE_{self.name.upper()}"


# Programs may ask an array to delete, and get -EINVAL.
_ELEMENTS = frozenset({"lookup", "update", "delete", "iterate"})
_COPIES = _ELEMENTS | {"lookup_percpu"}
_LOOKUP = frozenset({"lookup"})
_ACCESS = MapFlag.RDONLY_PROG | MapFlag.WRONLY_PROG
_HASH = _ACCESS | MapFlag.NO_PREALLOC | MapFlag.NUMA_NODE | MapFlag.ZERO_SEED
#: Elements are there from the start.
_LRU = _ACCESS | MapFlag.NUMA_NODE | MapFlag.ZERO_SEED
_ARRAY = _ACCESS | MapFlag.NUMA_NODE
_ONE_ARRAY = _ARRAY | MapFlag.MMAPABLE | MapFlag.INNER_MAP

#: The allocator's number lies far above those of the kernel, which has no such type.
ALLOCATOR_NUMBER = 1000

MAP_TYPES: tuple[MapType, ...] = (
    MapType("hash", 1, Shape.HASH, _ELEMENTS, kptrs=True, flags=_HASH),
    MapType("array", 2, Shape.ARRAY, _ELEMENTS, key_size=4, kptrs=True, flags=_ONE_ARRAY),
    MapType("prog_array", 3, Shape.PROGS, frozenset({"tail_call"}), key_size=4,
            sleepable=False, flags=_ACCESS),
    MapType("percpu_hash", 5, Shape.HASH, _COPIES, per_cpu=True, kptrs=True,
            flags=_HASH),
    MapType("percpu_array", 6, Shape.ARRAY, _COPIES, key_size=4, per_cpu=True, kptrs=True,
            flags=_ARRAY),
    MapType("lru_hash", 9, Shape.LRU, _ELEMENTS, kptrs=True, flags=_LRU),
    MapType("lru_percpu_hash", 10, Shape.LRU, _COPIES, per_cpu=True, kptrs=True, flags=_LRU),
    MapType("array_of_maps", 12, Shape.ARRAY, _LOOKUP, key_size=4, outer=True, flags=_ARRAY),
    MapType("hash_of_maps", 13, Shape.HASH, _LOOKUP, outer=True, flags=_HASH),
    MapType("ringbuf", 27, Shape.RING, frozenset({"output"}), key_size=0,
            flags=MapFlag.NUMA_NODE),
    MapType("allocator", ALLOCATOR_NUMBER, Shape.NONE, frozenset({"alloc"}), key_size=0),
)  # fmt: skip

BY_NUMBER: dict[int, MapType] = {t.number: t for t in MAP_TYPES}
BY_NAME: dict[str, MapType] = {t.name: t for t in MAP_TYPES}
