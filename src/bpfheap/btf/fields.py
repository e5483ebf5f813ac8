"""Kptr fields: the pointers in a value that own an object.

`__kptr` is a type tag and a declaration tag at once: in `struct foo *ptr __kptr __local;` the
compiler drops the type tag without a word, and the declaration tag is all that is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from bpfheap.btf.table import Btf
from bpfheap.btf.types import Array, Datasec, Fwd, Ptr, Struct, Union, Var
from bpfheap.errors import BtfError

#: BTF_FIELDS_MAX is 11 in the kernel; arrays of kptrs make more room necessary here.
MAX_FIELDS = 512


class KptrKind(StrEnum):
    """By the tag that makes a pointer a kptr."""

    KPTR = "kptr"
    UNTRUSTED = "kptr_untrusted"
    PERCPU = "percpu_kptr"


class KptrField(NamedTuple):
    """`path` as C would write it, `offset` in bytes, `target` the struct that it points at (a Fwd
    if the object only declares it, see `incomplete`).
    `tags` are all tags of the field, those of `kind` among them."""

    path: str
    offset: int
    target: int
    kind: KptrKind
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
    path: str
    offset: int
    type: int
    tags: tuple[str, ...]
    in_union: bool


def kptr_fields(btf: Btf, type_id: int) -> tuple[KptrField, ...]:
    """The kptr fields of a map value, struct or data section, by offset.

    Raises BtfError for a kptr in a union, one that is not 8-byte aligned, one that points at no
    struct, one with two kptr tags, or more than MAX_FIELDS of them.
    """
    found = []
    for pointer in _pointers(btf, type_id):
        kinds = [k for k in KptrKind if k in pointer.tags]
        if not kinds:
            continue
        where = f"{btf.c_name(type_id)}: kptr {pointer.path}"
        if len(kinds) > 1:
            raise BtfError(f"{where} is tagged {' and '.join(kinds)}", file=btf.file)
        if pointer.in_union:
            raise BtfError(f"{where} is in a union", file=btf.file, hint="take it out")
        if pointer.offset % 8:
            raise BtfError(
                f"{where} is at byte {pointer.offset}, not a multiple of 8", file=btf.file
            )
        kind = btf[btf.resolve(pointer.type)]
        assert isinstance(kind, Ptr)
        target = btf.resolve(kind.type)
        if not isinstance(btf[target], Struct | Fwd):
            raise BtfError(f"{where} points at {btf.c_name(target)}, not at a struct")
        found.append(KptrField(pointer.path, pointer.offset, target, kinds[0], pointer.tags))
        if len(found) > MAX_FIELDS:
            raise BtfError(f"{btf.c_name(type_id)} has more than {MAX_FIELDS} kptrs")
    return tuple(sorted(found, key=lambda f: f.offset))


def incomplete(btf: Btf, type_id: int) -> str | None:
    """The name of a struct that is declared only, and that `type_id` is or owns, by way of any
    number of kptrs; None if all are defined. Objects whose type is incomplete cannot be told from
    others of that name, so programs must not exchange them."""
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


def plain_pointers(btf: Btf, type_id: int) -> tuple[PlainPointer, ...]:
    """Pointers to structs that look meant as kptrs but carry no tag."""
    found = []
    for pointer in _pointers(btf, type_id):
        kind = btf[btf.resolve(pointer.type)]
        assert isinstance(kind, Ptr)
        target = btf.resolve(kind.type)
        if isinstance(btf[target], Struct) and not any(k in pointer.tags for k in KptrKind):
            found.append(PlainPointer(pointer.path, pointer.offset, target))
    return tuple(found)


def _has_pointers(btf: Btf, type_id: int) -> bool:
    """Whether a walk over the type is worth it; arrays of a million ints are not."""
    stack, seen = [type_id], set()
    while stack:
        at = btf.resolve(stack.pop())
        if at in seen:
            continue
        seen.add(at)
        match btf[at]:
            case Ptr():
                return True
            case Array(type=element):
                stack.append(element)
            case Struct(members=members) | Union(members=members):
                stack += [m.type for m in members]
            case Datasec(vars=variables):
                stack += [v.type for v in variables]
            case Var(type=inner):
                stack.append(inner)
    return False


def _pointers(btf: Btf, type_id: int) -> Iterator[_Pointer]:
    """Every pointer in a value, without recursion; stops after MAX_FIELDS array elements."""
    # (type, path, offset, tags of the member or variable, inside a union)
    stack: list[tuple[int, str, int, tuple[str, ...], bool]] = [(type_id, "", 0, (), False)]
    while stack:
        at, path, offset, tags, in_union = stack.pop()
        at = btf.resolve(at)
        if not _has_pointers(btf, at):
            continue
        kind = btf[at]
        match kind:
            case Ptr():
                yield _Pointer(path, offset, at, (*btf.type_tags(at), *tags), in_union)
            case Struct() | Union():
                inside = in_union or isinstance(kind, Union)
                for i in reversed(range(len(kind.members))):
                    m = kind.members[i]
                    name = f"{path}.{m.name}" if path and m.name else path or m.name
                    stack.append(
                        (m.type, name, offset + m.bit_offset // 8, btf.decl_tags(at, i), inside)
                    )
            case Array():
                size = btf.size_of(kind.type)
                for i in reversed(range(min(kind.count, MAX_FIELDS + 1))):
                    stack.append((kind.type, f"{path}[{i}]", offset + i * size, tags, in_union))
            case Datasec():
                for v in reversed(kind.vars):
                    var = btf[v.type]
                    if isinstance(var, Var):
                        stack.append(
                            (var.type, var.name, offset + v.offset, btf.decl_tags(v.type), False)
                        )
