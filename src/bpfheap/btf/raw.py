"""BTF bytes and back (Documentation/bpf/btf.rst, section 2)."""

from __future__ import annotations

import struct
from collections.abc import Callable

from bpfheap.btf.types import (
    KINDS,
    Array,
    BtfType,
    Const,
    Datasec,
    DeclTag,
    Enum,
    Enum64,
    Float,
    Func,
    FuncProto,
    Fwd,
    Int,
    Member,
    Param,
    Ptr,
    Restrict,
    SecVar,
    Struct,
    Typedef,
    TypeTag,
    Union,
    Var,
    Void,
    Volatile,
    name_of,
)  # fmt: skip
from bpfheap.errors import BtfError

_HEADER = struct.Struct("<HBBIIIII")
_MAGIC = 0xEB9F
_TYPE = struct.Struct("<III")
#: The most types of one BTF. A large kernel has a fifth.
MAX_TYPES = 1 << 20
#: Names may overlap, as linkers let a name be the end of a longer one; all names together may have
#: this many times the bytes of the string section.
_MAX_SHARING = 8


class TypeReader:
    """A cursor over the type section, and the strings beside it. `offset` is its place. Types split
    off those of `base` go on counting its strings."""

    def __init__(
        self, types: bytes, strings: bytes, file: str | None, base: TypeReader | None = None
    ) -> None:
        self.types = types
        self.strings = strings
        self.file = file
        self.offset = 0
        self.base = base
        self._names: dict[int, str] = {}
        self._room = _MAX_SHARING * len(strings)

    def words(self, count: int) -> tuple[int, ...]:
        """The next `count` 32-bit words."""
        end = self.offset + 4 * count
        if end > len(self.types):
            raise self.error(f"the type section ends within a type, at byte {len(self.types)}")
        found = struct.unpack_from(f"<{count}I", self.types, self.offset)
        self.offset = end
        return found

    def name(self, offset: int) -> str:
        """The string at an offset of the string section."""
        if self.base is not None:
            if offset < len(self.base.strings):
                return self.base.name(offset)
            offset -= len(self.base.strings)
        known = self._names.get(offset)
        if known is not None:
            return known
        if offset >= len(self.strings):
            raise self.error(
                f"a name is at byte {offset} of {len(self.strings)} bytes of strings",
                "BTF split off a base BTF is not taken from users",
            )
        end = self.strings.index(b"\0", offset)
        self._room -= end - offset
        if self._room < 0:
            raise self.error("its names overlap so often that they would fill the memory")
        raw = self.strings[offset:end]
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self.error(f"the name at byte {offset} is no text") from None
        self._names[offset] = name
        return name

    def raw_name(self, offset: int) -> bytes:
        """The same, as it is, and empty if there is none."""
        if self.base is not None:
            if offset < len(self.base.strings):
                return self.base.raw_name(offset)
            offset -= len(self.base.strings)
        return self.strings[offset : self.strings.find(b"\0", offset)]

    def error(self, message: str, hint: str | None = None) -> BtfError:
        return BtfError(f"BTF: {message}", file=self.file, hint=hint)


def _signed(value: int, bits: int = 32) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _members(r: TypeReader, vlen: int, flag: bool) -> tuple[Member, ...]:
    found = []
    for _ in range(vlen):
        name, type_id, offset = r.words(3)
        # With the flag set, the offset's upper byte is the width of a bitfield.
        width, bits = (offset >> 24, offset & 0xFFFFFF) if flag else (0, offset)
        found.append(Member(r.name(name), type_id, bits, width))
    return tuple(found)


#: Bytes of an enum that is only declared: what most have.
_DECLARED = 4


def _int(r: TypeReader, name: str, size: int, vlen: int, flag: bool) -> BtfType:
    (info,) = r.words(1)
    if info & 0xF000FF00:
        raise r.error(f"int {name} has unknown bits set, 0x{info:08x}")
    return Int(name, size, (info >> 24) & 0xF, (info >> 16) & 0xFF, info & 0xFF)


def _array(r: TypeReader, name: str, size: int, vlen: int, flag: bool) -> BtfType:
    return Array(*r.words(3))


def _enum(r: TypeReader, name: str, size: int, vlen: int, flag: bool) -> BtfType:
    pairs = (r.words(2) for _ in range(vlen))
    # Of one that is only declared clang says 0 bytes, which no kernel takes (btf_enum_check_meta).
    size = size or (0 if vlen else _DECLARED)
    return Enum(name, size, flag, tuple((r.name(n), _signed(v) if flag else v) for n, v in pairs))


def _enum64(r: TypeReader, name: str, size: int, vlen: int, flag: bool) -> BtfType:
    values = []
    for _ in range(vlen):
        label, low, high = r.words(3)
        value = high << 32 | low
        values.append((r.name(label), _signed(value, 64) if flag else value))
    return Enum64(name, size, flag, tuple(values))


def _proto(r: TypeReader, name: str, ret: int, vlen: int, flag: bool) -> BtfType:
    pairs = [r.words(2) for _ in range(vlen)]
    return FuncProto(ret, tuple(Param(r.name(n), t) for n, t in pairs))


def _datasec(r: TypeReader, name: str, size: int, vlen: int, flag: bool) -> BtfType:
    return Datasec(name, size, tuple(SecVar(*r.words(3)) for _ in range(vlen)))


def _decl_tag(r: TypeReader, name: str, type_id: int, vlen: int, flag: bool) -> BtfType:
    return DeclTag(name, type_id, _signed(*r.words(1)), flag)


#: Kind -> from the name, size or type, vlen and flag of a type's first words.
_READ: dict[int, Callable[[TypeReader, str, int, int, bool], BtfType]] = {
    1: _int,
    2: lambda r, n, t, v, f: Ptr(t),
    3: _array,
    4: lambda r, n, s, v, f: Struct(n, s, _members(r, v, f)),
    5: lambda r, n, s, v, f: Union(n, s, _members(r, v, f)),
    6: _enum,
    7: lambda r, n, t, v, f: Fwd(n, f),
    8: lambda r, n, t, v, f: Typedef(n, t),
    9: lambda r, n, t, v, f: Volatile(t),
    10: lambda r, n, t, v, f: Const(t),
    11: lambda r, n, t, v, f: Restrict(t),
    12: lambda r, n, t, v, f: Func(n, t, v),
    13: _proto,
    14: lambda r, n, t, v, f: Var(n, t, *r.words(1)),
    15: _datasec,
    16: lambda r, n, s, v, f: Float(n, s),
    17: _decl_tag,
    18: lambda r, n, t, v, f: TypeTag(n, t, f),
    19: _enum64,
}


#: Kinds that have no name; that count something in vlen; that use the flag.
_NAMELESS = frozenset((2, 3, 9, 10, 11, 13))
_COUNTED = frozenset((4, 5, 6, 12, 13, 15, 19))
_FLAGGED = frozenset((4, 5, 6, 7, 17, 18, 19))
#: Bits of `info` without a meaning.
_RESERVED = 0x60FF0000


def open_types(data: bytes, file: str | None = None, base: TypeReader | None = None) -> TypeReader:
    """A reader at the first type; `base` is what the types were split off. Raises BtfError for what
    is no BTF."""
    if len(data) < _HEADER.size:
        raise BtfError(f"BTF: {len(data)} bytes are too short for a header", file=file)
    magic, version, flags, header, type_at, type_len, str_at, str_len = _HEADER.unpack_from(data)
    if magic == 0x9FEB:
        raise BtfError("BTF: it is big endian", file=file, hint="compile with -target bpfel")
    if magic != _MAGIC or version != 1:
        raise BtfError(f"BTF: magic 0x{magic:04x}, version {version} is not known", file=file)
    if flags:
        raise BtfError(f"BTF: flags 0x{flags:02x} in its header are not known", file=file)
    body = len(data) - header
    if header < _HEADER.size or type_at + type_len > body or str_at + str_len > body:
        raise BtfError("BTF: its sections end beyond its end", file=file)
    strings = data[header + str_at : header + str_at + str_len]
    if strings[-1:] != b"\0" and (base is None or strings):
        raise BtfError("BTF: the strings do not start and end with NUL", file=file)
    if base is None and strings[0]:
        raise BtfError("BTF: the strings do not start and end with NUL", file=file)
    return TypeReader(data[header + type_at : header + type_at + type_len], strings, file, base)


def read_type(r: TypeReader, number: int) -> BtfType:
    """The type at the reader's place, whose id is `number`. Raises BtfError; references are not
    checked here."""
    name, info, size_or_type = r.words(3)
    kind, vlen, flag = (info >> 24) & 0x1F, info & 0xFFFF, bool(info >> 31)
    read = _READ.get(kind)
    if read is None:
        raise r.error(f"type {number} is of unknown kind {kind}")
    if (
        info & _RESERVED
        or (name and kind in _NAMELESS)
        or (vlen and kind not in _COUNTED)
        or (flag and kind not in _FLAGGED)
    ):
        raise r.error(
            f"type {number}, a {KINDS[kind].__name__}, has a name, count or flag that "
            "its kind does not have"
        )
    return read(r, r.name(name), size_or_type, vlen, flag)


def parse_types(data: bytes, file: str | None = None) -> tuple[BtfType, ...]:
    """All types, Void first. Raises BtfError; references are not checked here."""
    return read_types(open_types(data, file))


def read_types(r: TypeReader) -> tuple[BtfType, ...]:
    """The same, of a reader at the first type."""
    found: list[BtfType] = [Void()]
    while r.offset < len(r.types):
        found.append(read_type(r, len(found)))
        if len(found) > MAX_TYPES:
            raise r.error(f"there are more than {MAX_TYPES} types")
    return tuple(found)


class _Strings:
    """The string section while it grows."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0")
        self.offset = {"": 0}

    def __call__(self, name: str) -> int:
        if name not in self.offset:
            self.offset[name] = len(self.data)
            self.data += name.encode() + b"\0"
        return self.offset[name]


def encode_types(types: tuple[BtfType, ...]) -> bytes:
    """The inverse of `parse_types`, up to the order of strings."""
    strings = _Strings()
    out = bytearray()
    for kind in types[1:]:
        name = strings(name_of(kind))
        head, vlen, flag, tail = _parts(kind, strings)
        out += _TYPE.pack(name, flag << 31 | type(kind).KIND << 24 | vlen, head)
        out += struct.pack(f"<{len(tail)}I", *(word & 0xFFFFFFFF for word in tail))
    return (
        _HEADER.pack(_MAGIC, 1, 0, _HEADER.size, 0, len(out), len(out), len(strings.data))
        + bytes(out)
        + bytes(strings.data)
    )


def _parts(kind: BtfType, strings: _Strings) -> tuple[int, int, bool, list[int]]:
    """Size or type, vlen, flag, and the words that follow."""
    match kind:
        case Int():
            return kind.size, 0, False, [kind.encoding << 24 | kind.offset << 16 | kind.bits]
        case Array():
            return 0, 0, False, [kind.type, kind.index_type, kind.count]
        case Struct() | Union():
            flag = any(m.bitfield_size for m in kind.members)
            words = [
                w
                for m in kind.members
                for w in (strings(m.name), m.type, m.bitfield_size << 24 | m.bit_offset)
            ]
            return kind.size, len(kind.members), flag, words
        case Enum():
            words = [w for n, v in kind.values for w in (strings(n), v)]
            return kind.size, len(kind.values), kind.signed, words
        case Enum64():
            words = [w for n, v in kind.values for w in (strings(n), v, v >> 32)]
            return kind.size, len(kind.values), kind.signed, words
        case Fwd():
            return 0, 0, kind.is_union, []
        case Func():
            return kind.type, kind.linkage, False, []
        case FuncProto():
            words = [w for p in kind.params for w in (strings(p.name), p.type)]
            return kind.ret, len(kind.params), False, words
        case Var():
            return kind.type, 0, False, [kind.linkage]
        case Datasec():
            return kind.size, len(kind.vars), False, [w for v in kind.vars for w in v]
        case Float():
            return kind.size, 0, False, []
        case DeclTag():
            return kind.type, 0, kind.attribute, [kind.component]
        case TypeTag():
            return kind.type, 0, kind.attribute, []
        case Void():
            return 0, 0, False, []
        case _:
            return kind.type, 0, False, []
