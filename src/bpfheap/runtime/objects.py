"""The objects that a system holds and the references between them: immutable records."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Type(StrEnum):
    """What a descriptor or a pin can refer to."""

    MAP = "map"
    PROGRAM = "program"
    BTF = "btf"


class Handle(NamedTuple):
    """An object by type and id."""

    type: Type
    id: int


class MapObject(NamedTuple):
    """`users` are descriptors and pins, `refs` programs and outer maps (bpf_map.usercnt and
    .refcnt, which counts the users too; here they are apart). `allocator` is the one that an
    allocator map names, `kptr_allocator` and `elem_allocator` those that the definition names.
    A `freeing` map waits for its grace period or is being walked. `program_type` is what an array
    of programs holds, once it is known (bpf_prog_map_compatible)."""

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
    """`users` are descriptors, pins and arrays of programs. A program holds `maps` and `btf` until
    it is freed, a grace period after its last user is gone."""

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
    """Held by descriptors, maps and programs."""

    id: int
    refs: int = 0


class Walk(NamedTuple):
    """Somebody reads, one element after the other, what maps hold: a map that is being freed its
    own values, or a policy those of the maps of an unloaded program. For a program, `todo` are
    the maps and keys still to read; for a map, the machine knows."""

    handle: Handle
    todo: tuple[tuple[int, bytes], ...] = ()


class Deferred(NamedTuple):
    """Something to be freed once no execution of `readers` is running any more."""

    handle: Handle
    readers: frozenset[int]
