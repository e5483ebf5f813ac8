"""The objects that a system holds and the references between them: immutable records."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class HandleType(StrEnum):
    """What a descriptor or a pin can refer to."""

    MAP = "map"
    PROGRAM = "program"
    BTF = "btf"


class Handle(NamedTuple):
    """An object by type and id."""

    type: HandleType
    id: int


class MapObject(NamedTuple):
    """A map. The kernel counts users among the references (bpf_map.usercnt, .refcnt); here they
    are apart.

    `btf`: the id of the BTF object with its types.
    `users`: descriptors and pins.
    `refs`: programs and outer maps.
    `allocator`: the allocator that an allocator map names.
    `kptr_allocator`, `elem_allocator`: the allocators that the definition names.
    `freeing`: it waits for its grace period or is being walked.
    `program_type`: what an array of programs holds, once that is known
        (bpf_prog_map_compatible).
    """

    id: int
    name: str
    btf: int
    users: int = 0
    refs: int = 0
    allocator: int | None = None
    kptr_allocator: int | None = None
    elem_allocator: int | None = None
    freeing: bool = False
    program_type: str | None = None


class ProgramObject(NamedTuple):
    """A program, which holds its maps and BTF until it is freed, a grace period after its last
    user is gone.

    `btf`: the id of the BTF object with its types.
    `maps`: the ids of the maps that its code names.
    `users`: descriptors, pins and arrays of programs.
    `type`: the name of its program type, "" if unknown.
    """

    id: int
    name: str
    btf: int
    maps: tuple[int, ...]
    users: int = 0
    type: str = ""


class AllocatorObject(NamedTuple):
    """An allocator is apart from the map that names it. `closed`: the map is gone."""

    id: int
    name: str
    closed: bool = False


class BtfObject(NamedTuple):
    """Types of a file. `refs`: descriptors, maps and programs that hold it."""

    id: int
    refs: int = 0


class ValueWalk(NamedTuple):
    """A walk over values of maps, one element at a time: of a map that is being freed, or, for a
    policy, of the maps of an unloaded program.

    `handle`: the map, or the program.
    `todo`: for a program, the maps and keys still to read; for a map, the machine knows.
    """

    handle: Handle
    todo: tuple[tuple[int, bytes], ...] = ()


class Deferred(NamedTuple):
    """Something to be freed once no execution of `readers` is running any more."""

    handle: Handle
    readers: frozenset[int]
