"""CO-RE relocations: the value of an access to a type, in the object's own BTF (libbpf's
relo_core.c)."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from bpfheap.btf.identity import same_type
from bpfheap.btf.table import Btf
from bpfheap.btf.types import Array, Enum, Enum64, Int, Struct, Union
from bpfheap.errors import BtfError, RelocationError


class CoreKind(IntEnum):
    """enum bpf_core_relo_kind."""

    FIELD_BYTE_OFFSET = 0
    FIELD_BYTE_SIZE = 1
    FIELD_EXISTS = 2
    FIELD_SIGNED = 3
    FIELD_LSHIFT_U64 = 4
    FIELD_RSHIFT_U64 = 5
    TYPE_ID_LOCAL = 6
    TYPE_ID_TARGET = 7
    TYPE_EXISTS = 8
    TYPE_SIZE = 9
    ENUMVAL_EXISTS = 10
    ENUMVAL_VALUE = 11
    TYPE_MATCHES = 12


_OF_TYPES = frozenset(kind for kind in CoreKind if kind.name.startswith("TYPE_"))
#: No instruction has room for a larger offset.
_MAX_OFFSET = 1 << 31


class _AccessedField(NamedTuple):
    """The field that an access string leads to; `bitfield_size` is 0 if it is no bitfield."""

    type: int
    bit_offset: int
    bitfield_size: int


def core_value(btf: Btf, type_id: int, access: str, kind: CoreKind) -> int:
    """The relocation's value where the target is the object's own BTF.

    `access` is a list of indices, as in "0:1:2": the first steps over whole values of the type,
    the others are members and array elements; for an enum it names one value; for a whole type
    it is "0". Raises RelocationError for an access that leads nowhere.
    """
    if not 0 < type_id < len(btf):
        raise RelocationError(f"CO-RE relocation names type {type_id}, which is not there")
    indices = _indices(access)
    if kind in _OF_TYPES and indices != [0]:
        raise RelocationError(f"CO-RE access {access} of a whole type is not 0")
    match kind:
        case CoreKind.TYPE_ID_LOCAL | CoreKind.TYPE_ID_TARGET:
            return type_id
        case CoreKind.TYPE_EXISTS:
            return 1
        case CoreKind.TYPE_MATCHES:
            return int(same_type(btf, type_id, btf, type_id))
        case CoreKind.TYPE_SIZE:
            return _size(btf, type_id, access)
        case CoreKind.ENUMVAL_EXISTS:
            _enum_value(btf, type_id, indices, access)
            return 1
        case CoreKind.ENUMVAL_VALUE:
            return _enum_value(btf, type_id, indices, access)
    return _field_value(btf, _walk(btf, type_id, indices, access), access, kind)


def _size(btf: Btf, type_id: int, access: str) -> int:
    try:
        return btf.size_of(type_id)
    except BtfError as error:
        raise RelocationError(f"CO-RE access {access}: {error.message}") from error


def _indices(access: str) -> list[int]:
    parts = access.split(":")
    if not all(p.isascii() and p.isdigit() and len(p) < 10 for p in parts) or len(parts) > 64:
        raise RelocationError(f"CO-RE access {access[:40]!r} is not a list of indices")
    return [int(p) for p in parts]


def _enum_value(btf: Btf, type_id: int, indices: list[int], access: str) -> int:
    kind = btf[btf.resolve(type_id)]
    if not isinstance(kind, Enum | Enum64) or len(indices) != 1 or indices[0] >= len(kind.values):
        raise RelocationError(f"CO-RE access {access} names no value of {btf.c_name(type_id)}")
    return kind.values[indices[0]][1]


def _walk(btf: Btf, type_id: int, indices: list[int], access: str) -> _AccessedField:
    at = btf.resolve(type_id)
    bits = indices[0] * _size(btf, at, access) * 8
    width = 0
    for index in indices[1:]:
        kind = btf[at]
        match kind:
            case Struct() | Union() if index < len(kind.members):
                member = kind.members[index]
                bits += member.bit_offset
                width = member.bitfield_size
                at = btf.resolve(member.type)
            # A flexible array member (no elements) may be longer than its type says.
            case Array() if index < kind.count or kind.count == 0:
                at = btf.resolve(kind.type)
                bits += index * _size(btf, at, access) * 8
                width = 0
            case _:
                raise RelocationError(
                    f"CO-RE access {access} of {btf.c_name(type_id)} leads nowhere: "
                    f"{btf.c_name(at)} has no element {index}"
                )
    if bits // 8 >= _MAX_OFFSET:
        raise RelocationError(
            f"CO-RE access {access} of {btf.c_name(type_id)} is too far away, at byte {bits // 8}"
        )
    return _AccessedField(at, bits, width)


def _field_value(btf: Btf, field: _AccessedField, access: str, kind: CoreKind) -> int:
    size = _size(btf, field.type, access)
    bits = field.bitfield_size or size * 8
    offset, load = field.bit_offset // 8, size
    if field.bitfield_size:
        # The smallest aligned load of at most 8 bytes that covers the bitfield.
        offset = field.bit_offset // 8 // load * load
        while field.bit_offset + bits - offset * 8 > load * 8:
            if load >= 8:
                raise RelocationError(
                    f"CO-RE access {access}: a bitfield is wider than one load can cover"
                )
            load *= 2
            offset = field.bit_offset // 8 // load * load
    target = btf[field.type]
    match kind:
        case CoreKind.FIELD_BYTE_OFFSET:
            return offset
        case CoreKind.FIELD_BYTE_SIZE:
            return load
        case CoreKind.FIELD_EXISTS:
            return 1
        case CoreKind.FIELD_SIGNED:
            return int(target.signed) if isinstance(target, Int | Enum | Enum64) else 0
        case CoreKind.FIELD_LSHIFT_U64 | CoreKind.FIELD_RSHIFT_U64 if load > 8:
            raise RelocationError(
                f"CO-RE access {access} shifts {btf.c_name(field.type)}, which is no 64-bit number"
            )
        case CoreKind.FIELD_LSHIFT_U64:
            return 64 - (field.bit_offset + bits - offset * 8)
        case CoreKind.FIELD_RSHIFT_U64:
            return 64 - bits
    raise RelocationError(f"CO-RE kind {kind.name} is not about a field")
