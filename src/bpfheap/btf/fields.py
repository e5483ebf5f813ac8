"""Kptr fields: the pointers in a value that own an object.

`__kptr` is a type tag and a declaration tag at once. In `struct foo *ptr __kptr __local;` the
compiler silently drops the type tag, so the declaration tag has to be read too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import islice, pairwise
from typing import NamedTuple

from bpfheap.btf.check import POINTER_SIZE
from bpfheap.btf.lazy import LazyBtf
from bpfheap.btf.table import Btf
from bpfheap.btf.types import (
    Array,
    BtfType,
    Datasec,
    Enum,
    Fwd,
    Int,
    Ptr,
    Struct,
    Union,
    Var,
)
from bpfheap.errors import BtfError

#: BTF_FIELDS_MAX is 11 in the kernel; here arrays of kptrs may need more.
MAX_FIELDS = 512
#: Levels of nested structs; the kernel's MAX_RESOLVE_DEPTH is 32.
MAX_DEPTH = 64


class KptrKind(StrEnum):
    """The kinds of kptrs, by the tag that makes a pointer one."""

    KPTR = "kptr"
    UNTRUSTED = "kptr_untrusted"
    PERCPU = "percpu_kptr"


#: The tag of a pointer to memory that a process shares with programs (BPF_UPTR).
USER_POINTER = "uptr"
_KPTR_TAGS = frozenset(str(kind) for kind in KptrKind)
#: Those that make a pointer more than a number.
OWNING_TAGS = _KPTR_TAGS | {USER_POINTER}


class KptrField(NamedTuple):
    """A kptr in a value."""

    #: As C would write it: "inner.ptr[1]".
    path: str
    #: In bytes, from the start of the value.
    offset: int
    #: The id of the struct that it points at; a Fwd if the object only declares it.
    target: int
    kind: KptrKind
    #: All tags of the field, that of `kind` included.
    tags: tuple[str, ...]

    @property
    def local(self) -> bool:
        """The target is meant to be of the program's own BTF."""
        return "local" in self.tags


class PlainPointer(NamedTuple):
    """A pointer to a struct that carries no tag."""

    path: str
    offset: int
    target: int


class _Pointer(NamedTuple):
    """A pointer in a value, before it is checked. `type` is the id of the Ptr."""

    path: str
    offset: int
    type: int
    tags: tuple[str, ...]
    in_union: bool


class _Part(NamedTuple):
    """A member or variable: its name, type (resolved), place in bytes and declaration tags."""

    name: str
    type: int
    offset: int
    tags: tuple[str, ...]


class _Position(NamedTuple):
    """A part of a value, at any depth. `tags` are those of the member or variable that it is in."""

    type: int
    path: str
    offset: int
    tags: tuple[str, ...]
    in_union: bool
    depth: int


def kptr_fields(btf: Btf, type_id: int) -> tuple[KptrField, ...]:
    """The kptr fields of a map value, struct or data section, by offset.

    Raises BtfError, with the path, for a kptr in a union, one that is not 8-byte aligned, one
    that points at no struct or is no pointer, one with two kptr tags, one in an array without a
    length, two that overlap, nesting beyond MAX_DEPTH, or more than MAX_FIELDS of them.
    """
    found = []
    for pointer in _pointers(btf, type_id, tagged=True):
        kinds = [k for k in KptrKind if k in pointer.tags]
        where = f"{btf.c_name(type_id)}: kptr {pointer.path}"
        if len(kinds) > 1:
            raise BtfError(f"{where} is tagged {' and '.join(kinds)}", file=btf.file)
        if pointer.in_union:
            raise BtfError(f"{where} is in a union", file=btf.file, hint="take it out")
        if pointer.offset % 8:
            raise BtfError(
                f"{where} is at byte {pointer.offset}, not a multiple of 8", file=btf.file
            )
        target = _target(btf, pointer.type)
        aim = btf[target]
        if not isinstance(aim, Struct) and not (isinstance(aim, Fwd) and not aim.is_union):
            raise BtfError(
                f"{where} points at {btf.c_name(target)}, not at a struct", file=btf.file
            )
        found.append(KptrField(pointer.path, pointer.offset, target, kinds[0], pointer.tags))
        if len(found) > MAX_FIELDS:
            raise BtfError(f"{btf.c_name(type_id)} has more than {MAX_FIELDS} kptrs", file=btf.file)
    found.sort(key=lambda f: f.offset)
    for one, two in pairwise(found):
        if two.offset < one.offset + POINTER_SIZE:
            raise BtfError(
                f"{btf.c_name(type_id)}: kptrs {one.path} and {two.path} overlap", file=btf.file
            )
    return tuple(found)


def kernel_target(
    btf: Btf, field: KptrField, kernel: Iterable[LazyBtf]
) -> tuple[LazyBtf, int] | None:
    """The struct of a kernel, or of its modules, that a kptr of a program points at: the one of
    that name, whatever the program says of it (btf_parse_kptr). None for a struct of the program's
    own, which is what a field tagged `__local` holds in any case. Raises BtfError for types that
    are broken."""
    aim = btf[field.target]
    # What is only declared is no struct to Linux (btf_find_kptr).
    if field.local or not isinstance(aim, Struct) or not aim.name:
        return None
    for types in kernel:
        found = types.find(aim.name, Struct)
        if found is not None:
            return types, found
    return None


def incomplete(btf: Btf, type_id: int) -> str | None:
    """The name of a struct that is declared only, and that `type_id` is or owns, by way of any
    number of kptrs; None if all are defined. Objects whose type is incomplete cannot be told from
    others of that name, so programs must not exchange them. Raises BtfError like `kptr_fields`."""
    todo, seen = [type_id], set()
    while todo:
        at = btf.resolve(todo.pop())
        if at in seen:
            continue
        seen.add(at)
        if isinstance(btf[at], Fwd):
            return btf.c_name(at)
        todo += [field.target for field in kptr_fields(btf, at)]
    return None


def numbers_alone(btf: Btf, type_id: int) -> bool:
    """Is it sure that a value has no pointer, tag, lock, list or tree? So it is with most of them,
    which need not be looked through for each of these."""
    todo, seen = [btf.resolve(type_id)], set[int]()
    while todo:
        at = todo.pop()
        if at in seen:
            continue
        seen.add(at)
        match btf[at]:
            case Int() | Enum():
                continue
            case Array(type=element):
                todo.append(btf.resolve(element))
            case Struct(name=name, members=members) | Union(name=name, members=members):
                if name.startswith("bpf_") or any(
                    btf.decl_tags(at, i) for i in range(len(members))
                ):
                    return False
                todo += [btf.resolve(member.type) for member in members]
            case _:
                return False
    return True


def plain_pointers(btf: Btf, type_id: int) -> tuple[PlainPointer, ...]:
    """Pointers to structs that look meant as kptrs but carry no tag, MAX_FIELDS at most."""
    pointers = islice(_pointers(btf, type_id, tagged=False), MAX_FIELDS)
    return tuple(
        PlainPointer(p.path, p.offset, _target(btf, p.type))
        for p in pointers
        if USER_POINTER not in p.tags
    )


def user_pointers(btf: Btf, type_id: int) -> tuple[PlainPointer, ...]:
    """Pointers to memory that a process shares with programs; of the first MAX_FIELDS pointers."""
    pointers = islice(_pointers(btf, type_id, tagged=False), MAX_FIELDS)
    return tuple(
        PlainPointer(p.path, p.offset, _target(btf, p.type))
        for p in pointers
        if USER_POINTER in p.tags
    )


def _target(btf: Btf, pointer: int) -> int:
    kind = btf[pointer]
    assert isinstance(kind, Ptr)
    return btf.resolve(kind.type)


def _is_kptr(tags: Iterable[str]) -> bool:
    return any(tag in _KPTR_TAGS for tag in tags)


def _matches(btf: Btf, pointer: int, *, tagged: bool) -> bool:
    """Whether a pointer, as far as its type tells, is one that `_pointers` looks for."""
    tags = btf.type_tags(pointer)
    if _is_kptr(tags):
        return tagged
    shared = USER_POINTER in tags
    return not tagged and (shared or isinstance(btf[_target(btf, pointer)], Struct))


def _parts(btf: Btf, at: int) -> list[_Part]:
    """What a value consists of. The elements of an array are one part."""
    match btf[at]:
        case Struct(members=members) | Union(members=members):
            return [
                _Part(m.name, btf.resolve(m.type), m.bit_offset // 8, btf.decl_tags(at, i))
                for i, m in enumerate(members)
            ]
        case Array(type=element):
            return [_Part("", btf.resolve(element), 0, ())]
        case Datasec(vars=variables):
            return [_Part("", v.type, v.offset, ()) for v in variables]
        case Var(name=name, type=inner):
            return [_Part(name, btf.resolve(inner), 0, btf.decl_tags(at))]
    return []


def _holders(btf: Btf, root: int, *, tagged: bool) -> dict[int, tuple[_Part, ...]]:
    """The types within `root` that contain a pointer that is looked for, with the parts that do.

    A walk of these parts alone finds a pointer on each branch, so it ends when MAX_FIELDS are
    found. A walk of all parts might not end: forty nested unions of two members have 2^40 parts.
    """
    holders: dict[int, tuple[_Part, ...]] = {}
    seen: set[int] = set()
    stack = [(btf.resolve(root), False)]
    while stack:
        at, ready = stack.pop()
        kind = btf[at]
        if ready:
            if not tagged and isinstance(kind, Array) and not kind.count:
                continue
            parts = tuple(
                part
                for part in _parts(btf, at)
                if (tagged if _is_kptr(part.tags) else part.type in holders)
            )
            if parts:
                holders[at] = parts
        elif at not in seen:
            seen.add(at)
            if isinstance(kind, Ptr):
                if _matches(btf, at, tagged=tagged):
                    holders[at] = ()
            else:
                stack.append((at, True))
                stack += [(part.type, False) for part in _parts(btf, at)]
    return holders


def _pointers(btf: Btf, type_id: int, *, tagged: bool) -> Iterator[_Pointer]:
    """The pointers in a value that are tagged as kptrs, or those to structs that are not, in the
    order of the value, without recursion. Raises BtfError for a tag on what is no pointer."""
    holders = _holders(btf, type_id, tagged=tagged)
    all_tags: dict[tuple[int, tuple[str, ...]], tuple[str, ...]] = {}
    root = btf.resolve(type_id)
    todo = [_Position(root, "", 0, (), False, 0)] if root in holders else []
    while todo:
        position = todo.pop()
        at, path, tags = position.type, position.path, position.tags
        kind = btf[at]
        if isinstance(kind, Ptr):
            if (at, tags) not in all_tags:
                all_tags[at, tags] = tuple(dict.fromkeys((*btf.type_tags(at), *tags)))
            yield _Pointer(path, position.offset, at, all_tags[at, tags], position.in_union)
            continue
        where = f"{btf.c_name(type_id)}: kptr {path}"
        parts = holders.get(at, ())
        if isinstance(kind, Array):
            parts = tuple(_parts(btf, at))
            if not kind.count:
                raise BtfError(f"{where} is in an array without a length", file=btf.file)
        elif _is_kptr(tags):
            raise BtfError(f"{where} is no pointer but {btf.c_name(at)}", file=btf.file)
        if position.depth == MAX_DEPTH:
            if not tagged:
                return
            raise BtfError(f"{where[:200]}... is nested deeper than {MAX_DEPTH}", file=btf.file)
        todo += reversed(list(_inside(btf, position, kind, parts)))


def _inside(
    btf: Btf, position: _Position, kind: BtfType, parts: tuple[_Part, ...]
) -> Iterator[_Position]:
    """The parts of a part; of an array no more elements than there may be fields."""
    path, offset, depth = position.path, position.offset, position.depth + 1
    for part in parts:
        if isinstance(kind, Array):
            size = btf.size_of(part.type)
            for i in range(min(kind.count, MAX_FIELDS + 1)):
                at = offset + i * size
                yield _Position(
                    part.type, f"{path}[{i}]", at, position.tags, position.in_union, depth
                )
        else:
            name = f"{path}.{part.name}" if path and part.name else path or part.name
            inside = position.in_union or isinstance(kind, Union)
            yield _Position(part.type, name, offset + part.offset, part.tags, inside, depth)
