"""Which `packed` and `aligned` attributes give a struct its layout. BTF records the offsets and
sizes of members, but no alignment and no attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bpfheap.btf.types import Member, Struct, Union

#: The compiler's largest alignment that structs are checked for, a page.
_MAX_ALIGN = 4096


class StructLayout(NamedTuple):
    """The alignment in bytes, and what the struct needs: attributes, or padding between its
    members, see `paddings`."""

    align: int
    packed: bool = False
    aligned: bool = False
    padded: bool = False


_PACKED = StructLayout(1, packed=True)


def lay_out(
    kind: Struct | Union, sizes: Sequence[int | None], aligns: Sequence[int | None]
) -> StructLayout:
    """The attributes with which the compiler puts the members where BTF says they are. `sizes`
    and `aligns` are in bytes, by type id, and known for every member.

    A struct is packed only if a member is where it could not be otherwise: compilers read members
    of packed structs byte by byte. Where there is more space than need be, as in front of a
    member with an alignment of its own, there is padding.
    """
    cursor, end, natural, padded = 0, 0, 1, False
    for member in kind.members:
        align = aligns[member.type] or 1
        natural = max(natural, align)
        if isinstance(kind, Union):
            cursor = 0
        there = _next(cursor, member, sizes[member.type] or 0, align)
        if there != member.bit_offset:
            again = _next(member.bit_offset, member, sizes[member.type] or 0, align)
            if isinstance(kind, Union) or member.bit_offset < cursor or again != member.bit_offset:
                return _PACKED
            padded = True
        cursor = member.bit_offset + (member.bitfield_size or (sizes[member.type] or 0) * 8)
        end = max(end, cursor)
    align = natural
    while align <= _MAX_ALIGN:
        if _round_up(end, align * 8) == kind.size * 8:
            return StructLayout(align, aligned=align != natural, padded=padded)
        align *= 2
    if isinstance(kind, Struct) and end < kind.size * 8 and kind.size % natural == 0:
        return StructLayout(natural, padded=True)
    return _PACKED


def _next(cursor: int, member: Member, size: int, align: int) -> int:
    """Where the compiler puts a member."""
    if not member.bitfield_size:
        return _round_up(cursor, align * 8)
    if cursor // (size * 8) != (cursor + member.bitfield_size - 1) // (size * 8):
        # A bitfield does not straddle two units of its type.
        return _round_up(cursor, align * 8)
    return cursor


def paddings(
    kind: Struct, layout: StructLayout, sizes: Sequence[int | None], aligns: Sequence[int | None]
) -> list[list[int]]:
    """The widths of the unnamed bitfields before each member of a padded struct, and behind the
    last one."""
    cursor, found = 0, []
    for member in kind.members:
        there = _next(cursor, member, sizes[member.type] or 0, aligns[member.type] or 1)
        found.append(_pieces(cursor, member.bit_offset) if there != member.bit_offset else [])
        cursor = member.bit_offset + (member.bitfield_size or (sizes[member.type] or 0) * 8)
    fits = _round_up(cursor, layout.align * 8) == kind.size * 8
    return [*found, [] if fits else _pieces(cursor, kind.size * 8)]


def _pieces(cursor: int, end: int) -> list[int]:
    """Bitfields from one bit to another, of which none straddles a unit of its type."""
    found = []
    while cursor < end:
        width = min(8 - cursor % 8, end - cursor)
        if cursor % 8 == 0 and width == 8:
            width = next(w for w in (64, 32, 16, 8) if cursor % w == 0 and cursor + w <= end)
        found.append(width)
        cursor += width
    return found


def gaps(kind: Struct | Union, sizes: Sequence[int | None]) -> list[int]:
    """The bits of padding before each member, and behind the last, that give a packed struct its
    layout; negative where members overlap, which C cannot say."""
    cursor, found = 0, []
    for member in kind.members:
        found.append(member.bit_offset - cursor)
        cursor = member.bit_offset + (member.bitfield_size or (sizes[member.type] or 0) * 8)
    # Unused bits of the last byte are no padding: the compiler rounds up by itself.
    return [*found, kind.size * 8 - _round_up(cursor, 8)]


def _round_up(value: int, to: int) -> int:
    return (value + to - 1) // to * to
