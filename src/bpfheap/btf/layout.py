"""Which `packed` and `aligned` attributes give a struct its layout. BTF records the offsets and
sizes of members, but no alignment and no attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bpfheap.btf.types import Struct, Union

#: The compiler's largest alignment that structs are checked for, a page.
_MAX_ALIGN = 4096


class StructLayout(NamedTuple):
    """The alignment in bytes, and which attributes the struct needs. A packed struct may also need
    padding, see `gaps`."""

    align: int
    packed: bool = False
    aligned: bool = False


def lay_out(
    kind: Struct | Union, sizes: Sequence[int | None], aligns: Sequence[int | None]
) -> StructLayout:
    """The attributes with which the compiler puts the members where BTF says they are. `sizes`
    and `aligns` are in bytes, by type id, and known for every member."""
    cursor, end, natural = 0, 0, 1
    for member in kind.members:
        size, align = sizes[member.type] or 0, aligns[member.type] or 1
        natural = max(natural, align)
        if isinstance(kind, Union):
            cursor = 0
        if not member.bitfield_size:
            cursor = _round_up(cursor, align * 8)
        elif cursor // (size * 8) != (cursor + member.bitfield_size - 1) // (size * 8):
            # A bitfield does not straddle two units of its type.
            cursor = _round_up(cursor, align * 8)
        if cursor != member.bit_offset:
            return StructLayout(1, packed=True)
        cursor += member.bitfield_size or size * 8
        end = max(end, cursor)
    align = natural
    while align <= _MAX_ALIGN:
        if _round_up(end, align * 8) == kind.size * 8:
            return StructLayout(align, aligned=align != natural)
        align *= 2
    return StructLayout(1, packed=True)


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
