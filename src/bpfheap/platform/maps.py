"""Map types: one row each. What a program, the runtime or a machine may do with a map of a type
follows from its row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntFlag, StrEnum

from bpfheap.platform.programs import Offer


class Shape(StrEnum):
    """How keys lead to values; a machine has one implementation per shape."""

    ARRAY = "array"
    HASH = "hash"
    LRU = "lru"  # a hash map that is never full: what is not used goes
    TRIE = "trie"  # a key finds the longest one that it begins with
    QUEUE = "queue"  # no keys: values are pushed, and the oldest is popped first
    STACK = "stack"  # no keys: the newest is popped first
    FILTER = "filter"  # no keys: was a value pushed before, as far as is known?
    OWNERS = "owners"  # a value belongs to an object of the kernel; its descriptor is the key
    NONE = "none"  # there are no keys


class Holds(StrEnum):
    """What the elements of a map are."""

    VALUES = "values"  # bytes, which user space and programs read and write
    MAPS = "maps"
    PROGRAMS = "programs"  # programs can only jump there
    RECORDS = "records"  # bytes of programs, in a row for user space
    EVENTS = "events"  # perf events: counters, and buffers that programs write records into
    STACKS = "stacks"  # addresses of callers, which the kernel puts there
    DEVICES = "devices"  # network devices that packets can go to; programs may read which
    CPUS = "cpus"  # CPUs that packets can go to
    SOCKETS = "sockets"  # sockets that packets can go to
    CGROUPS = "cgroups"
    STORAGE = "storage"  # bytes that belong to control groups; programs get their own group's
    PAGES = "pages"  # memory that programs give away, shared with user space: an arena
    SENT = "sent"  # bytes of user space, in a row for programs
    NOTHING = "nothing"  # the map stands for something that is no element


class MapFlag(IntFlag):
    """Flags of map creation (enum in uapi/linux/bpf.h). NUMA_NODE, ZERO_SEED and INNER_MAP change
    nothing in user space: memory has no nodes here, and arrays of any length may be inner maps."""

    NO_PREALLOC = 1 << 0
    NUMA_NODE = 1 << 2
    STACK_BUILD_ID = 1 << 5
    ZERO_SEED = 1 << 6
    RDONLY_PROG = 1 << 7
    WRONLY_PROG = 1 << 8
    CLONE = 1 << 9
    MMAPABLE = 1 << 10
    INNER_MAP = 1 << 12
    SEGV_ON_FAULT = 1 << 17
    NO_USER_CONV = 1 << 18


class Fields(IntFlag):
    """What values of a map may have beside plain bytes (map_check_btf)."""

    KPTRS = 1 << 0  # pointers that own objects, and counts of owners
    LOCKS = 1 << 1
    ROOTS = 1 << 2  # lists, trees, timers and work
    SHARED = 1 << 3  # pointers to memory that a process shares (BPF_UPTR)


#: By the name of their struct.
_FIELDS = {
    "bpf_spin_lock": Fields.LOCKS,
    "bpf_res_spin_lock": Fields.LOCKS,
    "bpf_timer": Fields.ROOTS,
    "bpf_wq": Fields.ROOTS,
    "bpf_task_work": Fields.ROOTS,
    "bpf_list_head": Fields.ROOTS,
    "bpf_rb_root": Fields.ROOTS,
    "bpf_refcount": Fields.KPTRS,
}


ANY, NOEXIST, EXIST = 0, 1, 2
#: With one of these: take the value's bpf_spin_lock meanwhile.
F_LOCK = 4
#: Of storage: create it where there is none (BPF_LOCAL_STORAGE_GET_F_CREATE).
CREATE = 1

#: The most callers of a stack (kernel.perf_event_max_stack, as it is if nobody changes it), and the
#: bytes that one has: an address, or a struct bpf_stack_build_id.
DEEPEST_STACK = 127
_STACK_ADDRESS, _STACK_BUILD_ID = 8, 32


def stack_entry(build_ids: int) -> int:
    """The bytes of each caller in a stack: an address, or a build id and an offset."""
    return _STACK_BUILD_ID if build_ids else _STACK_ADDRESS


#: Programs may only read what is in the map, or only write it.
ACCESS = MapFlag.RDONLY_PROG | MapFlag.WRONLY_PROG
_NO_FLAGS = MapFlag(0)
_PLAIN = Fields(0)
_KEYLESS = frozenset({Holds.RECORDS, Holds.PAGES, Holds.SENT, Holds.NOTHING})
_BYTES = frozenset({Holds.VALUES, Holds.STORAGE})
_NO_KEYS = frozenset({Shape.NONE, Shape.QUEUE, Shape.STACK, Shape.FILTER})


@dataclass(frozen=True, slots=True)
class MapType:
    """`number` as in enum bpf_map_type. `ops` are the operations that programs may ask for
    (check_map_func_compatibility). `key_size` is the only one allowed, None if free. `per_cpu`: a
    value for each CPU. `fields`: what values may have beside plain bytes. `sleepable`: programs
    that may sleep can use it (check_map_prog_compatibility). `flags` may be given when a map is
    created. `updaters`, `deleters`: kinds of programs that may put elements there and delete them,
    of types where they may at all (may_update_sockmap). `struct`: what the kernel keeps such a map
    in, whose members programs may read (map_btf_id of struct bpf_map_ops); "" for none.
    `value_sizes` are the only ones allowed, none if free. `needs`: flags without which no map is
    made. `counted`: max_entries says how many there can be; else it has to be 0.

    Raises ValueError for facts that exclude each other.
    """

    name: str
    number: int
    shape: Shape
    holds: Holds
    ops: frozenset[str]
    per_cpu: bool = False
    fields: Fields = _PLAIN
    key_size: int | None = field(kw_only=True)
    sleepable: bool = field(kw_only=True)
    flags: MapFlag = _NO_FLAGS
    updaters: Offer = Offer.FEW
    deleters: Offer = Offer.FEW
    struct: str = ""
    value_sizes: tuple[int, ...] = ()
    needs: MapFlag = _NO_FLAGS
    counted: bool = True

    def __post_init__(self) -> None:
        for wrong, why in (
            ((self.shape is Shape.NONE) != (self.holds in _KEYLESS), "keys, if it has elements"),
            (self.shape in _NO_KEYS and self.key_size != 0, "key_size 0, without keys"),
            (bool(self.fields) and self.holds not in _BYTES, "values, for fields to be in"),
            (self.per_cpu and self.holds not in _BYTES, "values, to have some per CPU"),
            (
                (self.per_cpu and self.holds is Holds.VALUES) != ("lookup_percpu" in self.ops),
                "lookup_percpu if it is per CPU",
            ),
        ):
            if wrong:
                raise ValueError(f"{self.name}: the row needs {why}")

    @property
    def outer(self) -> bool:
        """Whether its elements are maps."""
        return self.holds is Holds.MAPS

    @property
    def inner(self) -> bool:
        """Whether maps can hold such maps (map_meta_equal of struct bpf_map_ops)."""
        return self.holds not in (Holds.MAPS, Holds.PROGRAMS, Holds.STORAGE)

    @property
    def pointers(self) -> bool:
        """Whether its elements are objects of the runtime, which have ids."""
        return self.holds in (Holds.MAPS, Holds.PROGRAMS)

    @property
    def borrows(self) -> bool:
        """Whether its elements are objects of the kernel, which stay when the map goes."""
        return self.holds is Holds.SOCKETS

    @property
    def fixed(self) -> bool:
        """Whether all elements are there from the start, as zeros, and for good."""
        return self.shape is Shape.ARRAY and self.holds is Holds.VALUES

    @property
    def readonly(self) -> bool:
        """Whether programs may only read what they find (dev_map_init_map)."""
        return self.holds is Holds.DEVICES

    @property
    def direct(self) -> bool:
        """Whether programs may have the address of a value without a lookup
        (map_direct_value_addr)."""
        return (self.fixed and not self.per_cpu) or self.holds is Holds.PAGES

    @property
    def refers(self) -> bool:
        """Whether programs have to release what they find (is_acquire_function)."""
        return self.holds is Holds.SOCKETS and "delete" in self.ops

    @property
    def evicts(self) -> bool:
        """Whether elements go when it is full."""
        return self.shape is Shape.LRU

    def may_have(
        self, flags: int, kptrs: bool, special: Iterable[str], shared: bool = False
    ) -> bool:
        """Whether a map that is created with `flags` may have `kptrs`, `shared` pointers to memory
        of a process, and special fields of these structs. Linux takes one that may not without its
        types, and all fields are plain bytes then (map_check_btf, bpf_object__create_map)."""
        wanted = (Fields.KPTRS if kptrs else _PLAIN) | (Fields.SHARED if shared else _PLAIN)
        for name in special:
            wanted |= _FIELDS[name]
        return not wanted or not (flags & ACCESS or wanted & ~self.fields)

    @property
    def c_name(self) -> str:
        return f"BPF_MAP_TYPE_{self.name.upper()}"


# Programs may ask an array to delete, and get -EINVAL.
_ELEMENTS = frozenset({"lookup", "update", "delete", "iterate"})
_COPIES = _ELEMENTS | {"lookup_percpu"}
_LOOKUP = frozenset({"lookup"})
_REDIRECT = frozenset({"lookup", "redirect"})
#: What sockets can be had by, beside what is done with them.
_SOCKETS = frozenset({"lookup", "update", "delete", "select"})
#: Where no socket is locked.
_SOCKET_UPDATERS = (
    Offer.SOCKET | Offer.TC | Offer.XDP | Offer.FLOW_DISSECTOR | Offer.SK_REUSEPORT
    | Offer.SK_LOOKUP | Offer.ITER
)  # fmt: skip
_SOCKET_DELETERS = _SOCKET_UPDATERS | Offer.SOCK_OPS
_STORAGE = frozenset({"storage"})
_HASH = ACCESS | MapFlag.NO_PREALLOC | MapFlag.NUMA_NODE | MapFlag.ZERO_SEED
#: Elements are there from the start.
_LRU = ACCESS | MapFlag.NUMA_NODE | MapFlag.ZERO_SEED
_ARRAY = ACCESS | MapFlag.NUMA_NODE
_ONE_ARRAY = _ARRAY | MapFlag.MMAPABLE | MapFlag.INNER_MAP
_TRIE = ACCESS | MapFlag.NO_PREALLOC | MapFlag.NUMA_NODE
#: An interface or the length of a queue, with or without a program (struct bpf_devmap_val,
#: bpf_cpumap_val).
_DEVICE = (4, 8)
#: A descriptor, which is read as a cookie.
_SOCKET = (4, 8)
_ALL = Fields.KPTRS | Fields.LOCKS | Fields.ROOTS
_OWNED = Fields.KPTRS | Fields.LOCKS
_EVICTED = Fields.KPTRS | Fields.ROOTS
_PUSHED = frozenset({"push", "pop", "peek"})

#: The allocator's number lies far above those of the kernel, which has no such type.
ALLOCATOR_NUMBER = 1000
#: There is one in a program at most.
ARENA_NUMBER = 33
PAGE_SIZE = 4096

S, H = Shape, Holds


def _storage(kind: str, number: int, fields: Fields = _OWNED) -> MapType:
    """Of values that belong to objects of one kind."""
    return MapType(f"{kind}_storage", number, S.OWNERS, H.VALUES, frozenset({f"{kind}_storage"}),
                   key_size=4, fields=fields, sleepable=True,
                   flags=MapFlag.NO_PREALLOC | MapFlag.CLONE, needs=MapFlag.NO_PREALLOC,
                   counted=False,
                   struct="bpf_local_storage_map")  # fmt: skip


MAP_TYPES: tuple[MapType, ...] = (
    MapType("hash", 1, S.HASH, H.VALUES, _ELEMENTS, key_size=None, fields=_ALL, sleepable=True,
            flags=_HASH, struct="bpf_htab"),
    MapType("array", 2, S.ARRAY, H.VALUES, _ELEMENTS, key_size=4, fields=_ALL, sleepable=True,
            flags=_ONE_ARRAY, struct="bpf_array"),
    MapType("prog_array", 3, S.ARRAY, H.PROGRAMS, frozenset({"tail_call"}), key_size=4,
            sleepable=False, flags=ACCESS, struct="bpf_array"),
    MapType("perf_event_array", 4, S.ARRAY, H.EVENTS, frozenset({"event"}), key_size=4,
            sleepable=False, struct="bpf_array"),
    MapType("percpu_hash", 5, S.HASH, H.VALUES, _COPIES, key_size=None, per_cpu=True,
            fields=Fields.KPTRS, sleepable=True, flags=_HASH, struct="bpf_htab"),
    MapType("percpu_array", 6, S.ARRAY, H.VALUES, _COPIES, key_size=4, per_cpu=True,
            fields=Fields.KPTRS, sleepable=True, flags=_ARRAY, struct="bpf_array"),
    MapType("stack_trace", 7, S.HASH, H.STACKS, frozenset({"stack"}), key_size=4, sleepable=False,
            flags=MapFlag.NUMA_NODE | MapFlag.STACK_BUILD_ID, struct="bpf_stack_map"),
    MapType("cgroup_array", 8, S.ARRAY, H.CGROUPS, frozenset({"cgroup"}), key_size=4,
            sleepable=False, struct="bpf_array", value_sizes=(4,)),
    MapType("lru_hash", 9, S.LRU, H.VALUES, _ELEMENTS, key_size=None, fields=_EVICTED,
            sleepable=True, flags=_LRU, struct="bpf_htab"),
    MapType("lru_percpu_hash", 10, S.LRU, H.VALUES, _COPIES, key_size=None, per_cpu=True,
            fields=Fields.KPTRS, sleepable=True, flags=_LRU, struct="bpf_htab"),
    MapType("lpm_trie", 11, S.TRIE, H.VALUES, _ELEMENTS - {"iterate"}, key_size=None,
            sleepable=False, flags=_TRIE, needs=MapFlag.NO_PREALLOC, struct="lpm_trie"),
    MapType("array_of_maps", 12, S.ARRAY, H.MAPS, _LOOKUP, key_size=4, sleepable=True,
            flags=_ARRAY, struct="bpf_array"),
    MapType("hash_of_maps", 13, S.HASH, H.MAPS, _LOOKUP, key_size=None, sleepable=True,
            flags=_HASH, struct="bpf_htab"),
    MapType("devmap", 14, S.ARRAY, H.DEVICES, _REDIRECT, key_size=4, sleepable=False, flags=_ARRAY,
            struct="bpf_dtab", value_sizes=_DEVICE),
    MapType("sockmap", 15, S.ARRAY, H.SOCKETS, _SOCKETS | {"socket_at"}, key_size=4,
            sleepable=False, flags=MapFlag.NUMA_NODE, updaters=_SOCKET_UPDATERS,
            deleters=_SOCKET_DELETERS, struct="bpf_stab", value_sizes=_SOCKET),
    MapType("cpumap", 16, S.ARRAY, H.CPUS, frozenset({"redirect"}), key_size=4, sleepable=False,
            flags=MapFlag.NUMA_NODE, struct="bpf_cpu_map", value_sizes=_DEVICE),
    MapType("xskmap", 17, S.ARRAY, H.SOCKETS, _REDIRECT, key_size=4, sleepable=False,
            flags=_ARRAY, struct="xsk_map", value_sizes=(4,)),
    MapType("sockhash", 18, S.HASH, H.SOCKETS, _SOCKETS | {"socket_of"}, key_size=None,
            sleepable=False, flags=MapFlag.NUMA_NODE, updaters=_SOCKET_UPDATERS,
            deleters=_SOCKET_DELETERS, struct="bpf_shtab", value_sizes=_SOCKET),
    MapType("cgroup_storage", 19, S.HASH, H.STORAGE, _STORAGE, key_size=None, sleepable=False,
            fields=Fields.LOCKS, flags=_ARRAY, struct="bpf_cgroup_storage_map", counted=False),
    MapType("reuseport_sockarray", 20, S.ARRAY, H.SOCKETS, frozenset({"select"}), key_size=4,
            sleepable=False, flags=_ARRAY, struct="reuseport_array", value_sizes=_SOCKET),
    MapType("percpu_cgroup_storage", 21, S.HASH, H.STORAGE, _STORAGE, per_cpu=True, key_size=None,
            sleepable=False, flags=_ARRAY, struct="bpf_cgroup_storage_map", counted=False),
    MapType("queue", 22, S.QUEUE, H.VALUES, _PUSHED, key_size=0, sleepable=True, flags=_ARRAY,
            struct="bpf_queue_stack"),
    MapType("stack", 23, S.STACK, H.VALUES, _PUSHED, key_size=0, sleepable=True, flags=_ARRAY,
            struct="bpf_queue_stack"),
    _storage("sk", 24),
    MapType("devmap_hash", 25, S.HASH, H.DEVICES, _REDIRECT, key_size=4, sleepable=False,
            flags=_ARRAY, struct="bpf_dtab", value_sizes=_DEVICE),
    MapType("ringbuf", 27, S.NONE, H.RECORDS, frozenset({"output"}), key_size=0, sleepable=True,
            flags=MapFlag.NUMA_NODE, struct="bpf_ringbuf_map"),
    _storage("inode", 28),
    _storage("task", 29, _OWNED | Fields.SHARED),
    MapType("bloom_filter", 30, S.FILTER, H.VALUES, frozenset({"push", "peek"}), key_size=0,
            sleepable=False, flags=_ARRAY | MapFlag.ZERO_SEED, struct="bpf_bloom_filter"),
    MapType("user_ringbuf", 31, S.NONE, H.SENT, frozenset({"drain"}), key_size=0, sleepable=True,
            flags=MapFlag.NUMA_NODE, struct="bpf_ringbuf_map"),
    _storage("cgrp", 32),
    MapType("arena", ARENA_NUMBER, S.NONE, H.PAGES, frozenset(), key_size=0, sleepable=True,
            flags=MapFlag.MMAPABLE | MapFlag.SEGV_ON_FAULT | MapFlag.NO_USER_CONV,
            needs=MapFlag.MMAPABLE, struct="bpf_arena"),
    MapType("allocator", ALLOCATOR_NUMBER, S.NONE, H.NOTHING, frozenset({"alloc"}), key_size=0,
            sleepable=True),
)  # fmt: skip

BY_NUMBER: dict[int, MapType] = {t.number: t for t in MAP_TYPES}
BY_NAME: dict[str, MapType] = {t.name: t for t in MAP_TYPES}
