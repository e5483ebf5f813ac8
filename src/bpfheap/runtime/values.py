"""Map keys and values as Python values, by BTF."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bpfheap.btf import (
    Array,
    BtfTypes,
    Datasec,
    Enum,
    Enum64,
    Float,
    Int,
    Member,
    Ptr,
    Struct,
    TypeTag,
    Union,
    Var,
)
from bpfheap.btf.fields import OWNING_TAGS
from bpfheap.btf.special import NODE_OF
from bpfheap.btf.types import MODIFIERS
from bpfheap.errors import UsageError, among
from bpfheap.runtime.machine import KptrValue

_BOOL = 4  # BTF_INT_BOOL
_FLOATS = {2: "<e", 4: "<f", 8: "<d"}
#: The structs that hold objects.
_HEADS = frozenset(map(str, NODE_OF))


class StructValue(Mapping[str, Any]):
    """A struct, union or data section: members by attribute or by key, as a mapping compares.

    `name` is the type's name, `members` in the order of the definition; members of anonymous
    structs appear as if they were the outer one's own, as in C. A member whose name is a method of
    mappings (keys, values, items, get) or starts with "_" is reached by key alone.
    """

    __slots__ = ("_members", "_name")

    def __init__(self, name: str, members: Mapping[str, Any]) -> None:
        self._name = name
        self._members = dict(members)

    def __getitem__(self, member: str) -> Any:
        return self._members[member]

    def __getattr__(self, member: str) -> Any:
        # Copying and unpickling ask for names before there are members.
        if member.startswith("_"):
            raise AttributeError(member)
        if member in self._members:
            return self._members[member]
        raise AttributeError(f"struct {self._name} has no member {member}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __hash__(self) -> int:
        """Keys of maps are keys of dictionaries, too."""
        return hash(frozenset((name, _hashable(value)) for name, value in self.items()))

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v!r}" for k, v in self._members.items())
        return f"{self._name or 'struct'}({inside})"


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


class ObjectValue(StructValue):
    """An object that a kptr points at: its members as they are now. `object` names it for people
    ("foo#1"), `allocator` is the allocator's id."""

    __slots__ = ("allocator", "object")

    def __init__(self, kptr: KptrValue) -> None:
        shown = unpack(kptr.btf, kptr.type_id, kptr.data, kptr.nested)
        super().__init__(kptr.type_name, shown if isinstance(shown, StructValue) else {})
        self.object = kptr.object
        self.allocator = kptr.allocator

    def __repr__(self) -> str:
        return f"<{self.object} {super().__repr__()}>"


def unpack(
    btf: BtfTypes, type_id: int, data: bytes, kptrs: Sequence[KptrValue] = (), *, at: int = 0,
    behind: bool = False,
) -> Any:  # fmt: skip
    """The value of a type at byte `at` of `data`. Integers and enums give int (or bool), char
    arrays bytes up to the first NUL, other arrays lists, structs StructValue, kptrs an ObjectValue
    or None, other pointers int, list heads and tree roots the ObjectValues in them, in order.
    `behind`: an array without a length at a struct's end has what is left of `data`."""
    kind = btf[btf.resolve(type_id)]
    match kind:
        case Int():
            raw = int.from_bytes(data[at : at + kind.size], "little", signed=kind.signed)
            return bool(raw) if kind.encoding & _BOOL else raw
        case Enum() | Enum64():
            return int.from_bytes(data[at : at + kind.size], "little", signed=kind.signed)
        case Float() if kind.size in _FLOATS:
            return struct.unpack_from(_FLOATS[kind.size], data, at)[0]
        case Ptr():
            for kptr in kptrs:
                if kptr.offset == at:
                    return ObjectValue(kptr)
            raw = int.from_bytes(data[at : at + 8], "little")
            return raw or None
        case Array():
            size = btf.size_of(kind.type)
            if _is_text(btf, type_id):
                return data[at : at + kind.count].partition(b"\0")[0]
            return [
                unpack(btf, kind.type, data, kptrs, at=at + i * size) for i in range(kind.count)
            ]
        case Struct(name=name) if name in _HEADS:
            return [ObjectValue(kptr) for kptr in kptrs if kptr.offset == at]
        case Struct() | Union():
            members: dict[str, Any] = {}
            for member in kind.members:
                if member.bitfield_size:
                    members[member.name] = _bits(btf, data, at, member)
                    continue
                value = unpack(btf, member.type, data, kptrs, at=at + member.bit_offset // 8)
                if member.name:
                    members[member.name] = value
                elif isinstance(value, StructValue):
                    members.update(value)
            last = last_array(btf, type_id) if behind else None
            array = None if last is None else btf[btf.resolve(last.type)]
            if last is not None and isinstance(array, Array) and not array.count:
                rest = data[at + last.bit_offset // 8 :]
                size = btf.size_of(array.type)
                members[last.name] = (
                    rest
                    if size == 1
                    else [
                        unpack(btf, array.type, rest, at=i)
                        for i in range(0, len(rest) - size + 1, size)
                    ]
                )
            return StructValue(kind.name, members)
        case Datasec():
            found = {}
            for section_var in kind.vars:
                var = btf[section_var.type]
                if isinstance(var, Var):
                    found[var.name] = unpack(btf, var.type, data, kptrs, at=at + section_var.offset)
            return StructValue(kind.name, found)
        case _:
            return data[at:]


def last_array(btf: BtfTypes, type_id: int) -> Member | None:
    """The array at a struct's end."""
    kind = btf[btf.resolve(type_id)]
    last = kind.members[-1] if isinstance(kind, Struct) and kind.members else None
    if last is None or last.bitfield_size or not isinstance(btf[btf.resolve(last.type)], Array):
        return None
    return last


def _is_text(btf: BtfTypes, type_id: int) -> bool:
    kind = btf[btf.resolve(type_id)]
    element = btf[btf.resolve(kind.type)] if isinstance(kind, Array) else None
    return isinstance(element, Int) and element.name == "char"


def _bits(btf: BtfTypes, data: bytes, at: int, member: Member) -> int:
    whole = int.from_bytes(data[at:], "little") >> member.bit_offset
    raw = whole & ((1 << member.bitfield_size) - 1)
    kind = btf[btf.resolve(member.type)]
    if isinstance(kind, Int | Enum | Enum64) and kind.signed and raw >> (member.bitfield_size - 1):
        raw -= 1 << member.bitfield_size
    return raw


def pack(btf: BtfTypes, type_id: int, value: Any, size: int, *, what: str = "value") -> bytes:
    """The bytes of a Python value: bytes of the right length as they are, else by BTF. Members
    that a mapping leaves out are 0. `what` names the value in errors.

    Raises UsageError for what does not fit the type; kptrs cannot be written from user space.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            raw = bytes(value)
        except ValueError:
            raise UsageError(f"{what} is gone: its memory was released") from None
        if len(raw) < size and type_id and _is_text(btf, type_id):
            return raw.ljust(size, b"\0")
        if len(raw) != size:
            raise UsageError(f"{what} takes {size} bytes, not {len(raw)}")
        return raw
    if not type_id:
        if isinstance(value, int) and not isinstance(value, bool):
            return _integer(value, size, what)
        raise UsageError(f"{what} has no type in the object's BTF", hint=f"give {size} bytes")
    out = bytearray(size)
    _pack_into(btf, type_id, value, out, 0, what)
    return bytes(out)


def _is_owning(btf: BtfTypes, pointer: Ptr) -> bool:
    """Does its tag make it more than a number?"""
    at = pointer.type
    while at and isinstance(kind := btf[at], MODIFIERS):
        if isinstance(kind, TypeTag) and kind.name in OWNING_TAGS:
            return True
        at = kind.type
    return False


def _integer(value: Any, size: int, what: str) -> bytes:
    return _fitting(value, size * 8, what).to_bytes(size, "little")


def _fitting(value: Any, bits: int, what: str) -> int:
    """The bits of an integer, signed or not; raises UsageError if there are too few."""
    if not isinstance(value, int):
        raise UsageError(f"{what} is an integer, not {value!r}")
    if not -(1 << bits) >> 1 <= value < 1 << bits:
        raise UsageError(f"{value} does not fit the {bits} bits of {what}")
    return value & ((1 << bits) - 1)


def _pack_into(btf: BtfTypes, type_id: int, value: Any, out: bytearray, at: int, what: str) -> None:
    kind = btf[btf.resolve(type_id)]
    match kind:
        case Int() | Enum() | Enum64():
            out[at : at + kind.size] = _integer(value, kind.size, what)
        case Float() if kind.size in _FLOATS:
            try:
                struct.pack_into(_FLOATS[kind.size], out, at, value)
            except (struct.error, OverflowError):
                raise UsageError(
                    f"{what} is a number of {kind.size} bytes, not {value!r}"
                ) from None
        case Ptr():
            if value in (None, 0):
                return
            if _is_owning(btf, kind):
                raise UsageError(
                    f"{what} is a kptr, which user space cannot write",
                    hint="leave it out; programs store objects with bpf_kptr_xchg",
                )
            out[at : at + 8] = _integer(value, 8, what)
        case Array():
            items = value if isinstance(value, bytes | list | tuple) else None
            if isinstance(value, str) and _is_text(btf, type_id):
                raise UsageError(f"{what} takes bytes, not text", hint=f"write {value.encode()!r}")
            if items is None or len(items) > kind.count:
                raise UsageError(f"{what} takes a sequence of at most {kind.count}")
            size = btf.size_of(kind.type)
            for i, item in enumerate(items):
                _pack_into(btf, kind.type, item, out, at + i * size, f"{what}[{i}]")
        case Struct(name=name) if name in _HEADS:
            if value != []:
                raise UsageError(
                    f"{what} is a {name}, which user space cannot write",
                    hint="leave it out; programs put objects in",
                )
        case Struct() | Union():
            if not isinstance(value, Mapping):
                raise UsageError(f"{what} takes a mapping of members, not {value!r}")
            left = _pack_members(btf, kind, value, out, at, what)
            if left:
                name = min(left, key=str)
                raise UsageError(
                    f"{what} has no member {name}", hint=among(_names(btf, kind), str(name))
                )
        case _:
            raise UsageError(f"{what} has a type that takes bytes only")


def _names(btf: BtfTypes, kind: Struct | Union) -> Iterator[str]:
    """Of members, those of anonymous structs too."""
    for member in kind.members:
        inner = btf[btf.resolve(member.type)]
        if member.name:
            yield member.name
        elif isinstance(inner, Struct | Union):
            yield from _names(btf, inner)


def _pack_members(
    btf: BtfTypes,
    kind: Struct | Union,
    value: Mapping[str, Any],
    out: bytearray,
    at: int,
    what: str,
) -> set[str]:
    """Write the members that `kind` has; the names it does not know are left over."""
    left = set(value)
    for member in kind.members:
        place = at + member.bit_offset // 8
        if not member.name:
            inner = btf[btf.resolve(member.type)]
            if isinstance(inner, Struct | Union):
                mine = {k: value[k] for k in left}
                left &= _pack_members(btf, inner, mine, out, place, what)
        elif member.name in left:
            left.discard(member.name)
            name = f"{what}.{member.name}"
            if member.bitfield_size:
                mask = (1 << member.bitfield_size) - 1
                whole = int.from_bytes(out[at:], "little") & ~(mask << member.bit_offset)
                bits = _fitting(value[member.name], member.bitfield_size, name)
                whole |= bits << member.bit_offset
                out[at:] = whole.to_bytes(len(out) - at, "little")
            else:
                _pack_into(btf, member.type, value[member.name], out, place, name)
    return left
