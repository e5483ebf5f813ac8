"""Reads names and ids out of large, trusted BTF, such as the kernel's own (a hundred thousand
types) without parsing all of it: `Btf.parse` would take seconds."""

from __future__ import annotations

import struct

from bpfheap.btf.types import (
    Array,
    BtfType,
    Datasec,
    DeclTag,
    Enum,
    Enum64,
    FuncProto,
    Int,
    Struct,
    Union,
    Var,
)
from bpfheap.errors import BtfError

_HEADER = struct.Struct("<HBBIIIII")
_MAGIC = 0xEB9F
_TYPE = struct.Struct("<III")
#: Kind -> bytes after the three words that all types have: fixed, and for each of `vlen` entries.
_TAIL: dict[int, tuple[int, int]] = {
    Int.KIND: (4, 0),
    Array.KIND: (12, 0),
    Struct.KIND: (0, 12),
    Union.KIND: (0, 12),
    Enum.KIND: (0, 8),
    FuncProto.KIND: (0, 8),
    Var.KIND: (4, 0),
    Datasec.KIND: (0, 12),
    DeclTag.KIND: (4, 0),
    Enum64.KIND: (0, 12),
}


def ids_by_name(data: bytes, kind: type[BtfType], file: str | None = None) -> dict[str, int]:
    """Name -> id of the first type of that kind and name.

    Only what is needed to get from one type to the next is checked: BtfError if the bytes do not
    even have that.
    """
    if len(data) < _HEADER.size:
        raise BtfError(f"BTF: {len(data)} bytes are too short for a header", file=file)
    magic, _, _, header, type_at, type_len, str_at, _ = _HEADER.unpack_from(data)
    at, strings = header + type_at, header + str_at
    end = at + type_len
    if magic != _MAGIC or end > len(data):
        raise BtfError("BTF: its header is broken", file=file)
    found: dict[str, int] = {}
    wanted, type_id = kind.KIND, 0
    tail = [_TAIL.get(number, (0, 0)) for number in range(32)]
    unpack, size = _TYPE.unpack_from, _TYPE.size
    while at + size <= end:
        name, info, _ = unpack(data, at)
        type_id += 1
        number = info >> 24 & 0x1F
        if number == wanted:
            start = strings + name
            stop = data.find(b"\0", start)
            found.setdefault(
                data[start : stop if stop >= 0 else len(data)].decode(errors="replace"), type_id
            )
        once, each = tail[number]
        at += size + once + (info & 0xFFFF) * each
    if at != end:
        raise BtfError(f"BTF: type {type_id} is not complete", file=file)
    return found
