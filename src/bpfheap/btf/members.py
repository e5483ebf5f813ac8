"""Members of structs by paths as C writes them, such as "mm.owner" and "comm[3]"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from bpfheap.btf.table import BtfTypes
from bpfheap.btf.types import Array, Member, Struct, Union

_STEP = re.compile(r"(?:^|\.)([A-Za-z_]\w*)|\[(\d+)\]")


class FoundMember(NamedTuple):
    """Where a member is in the outermost struct: `offset` in bytes, of a bitfield `bit_offset` in
    bits and `bits` its width, which is 0 of what is none."""

    type_id: int
    offset: int
    bit_offset: int = 0
    bits: int = 0


def find_member(btf: BtfTypes, type_id: int, path: str) -> FoundMember | None:
    """None where there is no such member; those of anonymous structs are the outer one's own."""
    found = FoundMember(type_id, 0)
    end = 0
    for step in _STEP.finditer(path):
        if step.start() != end:
            return None
        end = step.end()
        following = _index(btf, found, int(step[2])) if step[2] else _member(btf, found, step[1])
        if following is None:
            return None
        found = following
    return found if end == len(path) and path else None


def _index(btf: BtfTypes, at: FoundMember, index: int) -> FoundMember | None:
    kind = btf[btf.resolve(at.type_id)]
    # A flexible array ends nowhere.
    if not isinstance(kind, Array) or (kind.count and index >= kind.count):
        return None
    return FoundMember(kind.type, at.offset + index * btf.size_of(kind.type))


def _member(btf: BtfTypes, at: FoundMember, name: str) -> FoundMember | None:
    for base, member in members(btf, at.type_id):
        if member.name == name:
            bit = base * 8 + member.bit_offset
            return FoundMember(
                member.type, at.offset + bit // 8, at.offset * 8 + bit, member.bitfield_size
            )
    return None


def members(btf: BtfTypes, type_id: int) -> Iterator[tuple[int, Member]]:
    """The members that have names, each with the byte at which the struct that has it begins:
    those of anonymous structs and unions count as the outer one's."""
    pending = [(0, type_id)]
    while pending:
        base, at = pending.pop(0)
        kind = btf[btf.resolve(at)]
        if not isinstance(kind, Struct | Union):
            continue
        inner: list[tuple[int, int]] = []
        for member in kind.members:
            if member.name:
                yield base, member
            else:
                inner.append((base + member.bit_offset // 8, member.type))
        pending = inner + pending


def place_of(btf: BtfTypes, type_id: int, offset: int) -> str:
    """The path of the member that a byte is in, "" for none."""
    path: list[str] = []
    while True:
        kind = btf[btf.resolve(type_id)]
        if isinstance(kind, Array) and kind.count:
            size = btf.size_of(kind.type)
            if not size:
                break
            path.append(f"[{offset // size}]")
            type_id, offset = kind.type, offset % size
            continue
        for base, member in members(btf, type_id):
            if member.bitfield_size:
                first, last = (
                    member.bit_offset // 8,
                    (member.bit_offset + member.bitfield_size - 1) // 8,
                )
                start, end = base + first, base + last + 1
            else:
                start = base + member.bit_offset // 8
                end = start + btf.size_of(member.type)
            if start <= offset < end:
                path.append(f".{member.name}" if path else member.name)
                type_id, offset = member.type, offset - start
                break
        else:
            break
    return "".join(path)
