"""Where an access to a struct leads: to a number, or to a pointer, and what that points at.

Source: btf_struct_walk and btf_resolve_size in kernel/bpf/btf.c of Linux 6.18.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bpfheap.btf.table import BtfTypes
from bpfheap.btf.types import (
    Array,
    Int,
    Member,
    Ptr,
    Struct,
    TypeTag,
    Union,
    name_of,
)
from bpfheap.errors import BtfError

_POINTER = 8


class Leads(Enum):
    """What is at a place in a struct."""

    SCALAR = "scalar"
    STRUCT = "struct"  # another struct begins there
    POINTER = "pointer"  # to a struct
    OPAQUE = "opaque"  # a pointer to anything else


@dataclass(frozen=True, slots=True)
class Place:
    """What an access leads to. `type_id` is the struct that begins there or is pointed at, else 0;
    `member` the name of the pointer; `tag` its type tag ("rcu", "user", "percpu"), else "".
    `in_union`: a union of several members was on the way."""

    leads: Leads
    type_id: int = 0
    member: str = ""
    tag: str = ""
    in_union: bool = False


def walk(btf: BtfTypes, type_id: int, off: int, size: int) -> Place:
    """An access of `size` bytes at byte `off` of a struct or union, down to what is no struct.

    Raises BtfError, in Linux's words, for an access that fits no member.
    """
    place = _step(btf, type_id, off, size, in_union=False)
    while place.leads is Leads.STRUCT:
        place = _step(btf, place.type_id, 0, size, in_union=place.in_union)
    return place


def contains(btf: BtfTypes, type_id: int, off: int, wanted: int) -> bool:
    """Does a struct of type `wanted` begin at byte `off` of another one (btf_struct_ids_match)?"""
    try:
        while True:
            place = _step(btf, type_id, off, 1, in_union=False)
            if place.leads is not Leads.STRUCT:
                return False
            if place.type_id == wanted:
                return True
            type_id, off = place.type_id, 0
    except BtfError:
        return False


def _step(btf: BtfTypes, type_id: int, off: int, size: int, *, in_union: bool) -> Place:
    """As `walk`, but it ends at a struct that begins at the very place."""
    while True:
        type_id = btf.resolve(type_id)
        kind = btf[type_id]
        if not isinstance(kind, Struct | Union):
            raise BtfError(f"Type '{name_of(kind)}' is not a struct")
        # Who reads another member than was written sees no pointer.
        in_union = in_union or (isinstance(kind, Union) and len(kind.members) != 1)
        if off + size > kind.size:
            element, off = _flexible(btf, kind, off, size)
            if element == 0:
                return Place(Leads.SCALAR, in_union=in_union)
            type_id = element
            continue
        found = _member_at(btf, kind, off, size)
        if found is None:
            return Place(Leads.SCALAR, in_union=in_union)
        member, start, end, inner = found
        inner_kind = btf[inner]
        if isinstance(inner_kind, Struct | Union):
            if off == start:
                return Place(Leads.STRUCT, inner, in_union=in_union)
            type_id, off = inner, off - start
            continue
        if isinstance(inner_kind, Ptr):
            return _pointer(btf, kind, member, inner_kind, off, size, start, in_union)
        if off + size > end and not in_union:
            raise BtfError(
                f"access beyond the end of member {_shown(member)} (mend:{end}) in struct "
                f"{_shown(kind)} with off {off} size {size}"
            )
        return Place(Leads.SCALAR, in_union=in_union)


def _flexible(btf: BtfTypes, kind: Struct | Union, off: int, size: int) -> tuple[int, int]:
    """What is beyond the end, if the last member is an array without a length: the struct that an
    element is and the offset in it, or 0 where elements are numbers."""
    if kind.members:
        last = kind.members[-1]
        array = btf[btf.resolve(last.type)]
        start = last.bit_offset // 8
        if isinstance(array, Array) and not array.count and off >= start:
            element = btf.resolve(array.type)
            inner = btf[element]
            if isinstance(inner, Int):
                return 0, 0
            if isinstance(inner, Struct | Union) and inner.size:
                return element, (off - start) % inner.size
    raise BtfError(f"access beyond struct {_shown(kind)} at off {off} size {size}")


def _member_at(
    btf: BtfTypes, kind: Struct | Union, off: int, size: int
) -> tuple[Member, int, int, int] | None:
    """The member at a byte, where it or its element begins, where the whole of it ends, and its
    type or its element's; None for a bitfield."""
    for member in kind.members:
        start = member.bit_offset // 8
        if off + size <= start:
            break
        if member.bitfield_size:
            end = -(-(member.bit_offset + member.bitfield_size) // 8)
            if off <= start and end <= off + size:
                return None
            continue
        if off < start:
            break
        inner = btf.resolve(member.type)
        width = btf.size_of(inner)
        end = start + width
        if off >= end:
            continue
        count = 1
        while isinstance(array := btf[inner], Array):
            count *= array.count
            inner = btf.resolve(array.type)
        if count != 1:
            width //= count
            start += (off - start) // width * width
        return member, start, end, inner
    raise BtfError(f"struct {_shown(kind)} doesn't have field at offset {off}")


def _pointer(
    btf: BtfTypes, kind: Struct | Union, member: Member, pointer: Ptr, off: int, size: int,
    start: int, in_union: bool,
) -> Place:  # fmt: skip
    if size != _POINTER or off != start:
        raise BtfError(
            f"cannot access ptr member {_shown(member)} with moff {start} in struct {_shown(kind)} "
            f"with off {off} size {size}"
        )
    target, tag = pointee(btf, pointer)
    if not isinstance(btf[target], Struct | Union):
        return Place(Leads.OPAQUE, in_union=in_union)
    return Place(Leads.POINTER, target, member.name, tag, in_union)


def _shown(named: Struct | Union | Member) -> str:
    """Its name, as the kernel's log has it."""
    return named.name or "(anon)"


def pointee(btf: BtfTypes, pointer: Ptr) -> tuple[int, str]:
    """What a pointer points at, and the type tag that is nearest to it, else ""."""
    direct = btf[pointer.type]
    tag = direct.name if isinstance(direct, TypeTag) and not direct.attribute else ""
    return btf.resolve(pointer.type), tag
