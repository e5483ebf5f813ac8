"""Large BTF, such as a kernel's own (up to 150,000 types), of which a program needs a few types.

An index says where each type is and which types have a name. It is made in one pass over the bytes
and can be kept; types are parsed when somebody asks for them.
"""

from __future__ import annotations

import hashlib
import struct
import threading
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator

from bpfheap.btf.check import MAX_SIZE, POINTER_SIZE
from bpfheap.btf.raw import MAX_TYPES, TypeReader, open_types, read_type, read_types
from bpfheap.btf.table import Btf, BtfTypes
from bpfheap.btf.types import (
    MODIFIERS,
    Array,
    BtfType,
    Datasec,
    DeclTag,
    Enum,
    Enum64,
    Float,
    FuncProto,
    Int,
    Ptr,
    Struct,
    Union,
    Var,
    Void,
    name_of,
)  # fmt: skip
from bpfheap.errors import BtfError

_TYPE = struct.Struct("<III")
_COUNT = struct.Struct("<II")
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
#: libbpf follows no longer chains (btf__resolve_size, btf__resolve_type).
_MAX_CHAIN = 32
_SIZED = Int | Float | Enum | Enum64 | Struct | Union | Datasec


def essential_name(name: str) -> str:
    """A name without its flavour: "task_struct" of "task_struct___old"
    (bpf_core_essential_name_len)."""
    end = len(name)
    while (at := name.rfind("___", 0, end)) > 0:
        after = name[at + 3 : at + 4]
        if name[at - 1] != "_" and after not in ("", "_"):
            return name[:at]
        end = at + 2
    return name


class BtfIndex:
    """Where types are, by id from 1, and the ids by the hash of their essential names. All arrays
    are of 32 bits."""

    def __init__(self, offsets: array[int], hashes: array[int], ids: array[int]) -> None:
        """`hashes` are sorted; the id at the same place of `ids` has such a name."""
        self.offsets = offsets
        self.hashes = hashes
        self.ids = ids

    def encode(self) -> bytes:
        """For `decode`, on a machine of the same byte order."""
        parts = (self.offsets, self.hashes, self.ids)
        return _COUNT.pack(len(self.offsets), len(self.ids)) + b"".join(p.tobytes() for p in parts)

    @classmethod
    def decode(cls, data: bytes) -> BtfIndex | None:
        """None for anything else than what `encode` gives."""
        if len(data) < _COUNT.size:
            return None
        types, names = _COUNT.unpack_from(data)
        if len(data) != _COUNT.size + 4 * (types + 2 * names):
            return None
        parts = []
        at = _COUNT.size
        for count in (types, names, names):
            part = array("I")
            part.frombytes(data[at : at + 4 * count])
            parts.append(part)
            at += 4 * count
        return cls(*parts)


def index_of(reader: TypeReader) -> BtfIndex:
    """Only what is needed to get from one type to the next is checked: BtfError if the bytes do not
    even have that."""
    data = reader.types
    offsets = array("I")
    found: list[tuple[int, int]] = []
    hashes: dict[int, int] = {}
    tail = [_TAIL.get(number, (0, 0)) for number in range(32)]
    at, end, unpack, size = 0, len(data), _TYPE.unpack_from, _TYPE.size
    while at + size <= end:
        name, info, _ = unpack(data, at)
        offsets.append(at)
        if name:
            if name not in hashes:
                hashes[name] = _hash(reader.raw_name(name))
            found.append((hashes[name], len(offsets)))
        once, each = tail[info >> 24 & 0x1F]
        at += size + once + (info & 0xFFFF) * each
    if at != end:
        raise reader.error(f"type {len(offsets)} is not complete")
    if len(offsets) >= MAX_TYPES:
        raise reader.error(f"there are more than {MAX_TYPES} types")
    found.sort()
    return BtfIndex(offsets, array("I", [h for h, _ in found]), array("I", [i for _, i in found]))


def _hash(name: bytes) -> int:
    return zlib.crc32(essential_name(name.decode(errors="replace")).encode(errors="replace"))


class LazyBtf(BtfTypes):
    """Types of a large BTF. Little of it is checked before it is asked for, so all methods raise
    BtfError for what turns out to be broken, and none goes on for ever.

    Types of a module are split off `base`, the kernel's: their ids go on where its end. `named` and
    `find` look at the module's alone.
    """

    def __init__(
        self,
        reader: TypeReader,
        index: BtfIndex,
        file: str | None = None,
        base: LazyBtf | None = None,
    ) -> None:
        self.file = file
        self.reader = reader
        self._base = base
        self._first = 1 if base is None else len(base)
        self._index = index
        self._types: dict[int, BtfType] = {0: Void()}
        #: One kernel's types serve all threads.
        self._lock = threading.Lock()

    @classmethod
    def parse(cls, data: bytes, file: str | None = None, base: LazyBtf | None = None) -> LazyBtf:
        """From the bytes of a .BTF section."""
        reader = open_types(data, file, None if base is None else base.reader)
        return cls(reader, index_of(reader), file, base)

    @property
    def is_split(self) -> bool:
        """Are these the types of a module?"""
        return self._base is not None

    def whole(self) -> Btf:
        """All types of a kernel, each checked. Takes seconds."""
        own = TypeReader(self.reader.types, self.reader.strings, self.file)
        return Btf(read_types(own), self.file)

    def digest(self) -> bytes:
        """The same for the same types, in every process."""
        parts = (self.reader.types, self.reader.strings)
        return hashlib.sha256(b"".join(hashlib.sha256(p).digest() for p in parts)).digest()

    def __len__(self) -> int:
        return len(self._index.offsets) + self._first

    def __repr__(self) -> str:
        return f"<BTF of {self.file or 'memory'}, {len(self)} types>"

    def __getitem__(self, type_id: int) -> BtfType:
        if self._base is not None and type_id < self._first:
            return self._base[type_id]
        found = self._types.get(type_id)
        if found is None:
            if not 0 < type_id < len(self):
                raise self.missing(type_id)
            with self._lock:
                self.reader.offset = self._index.offsets[type_id - self._first]
                found = self._types[type_id] = read_type(self.reader, type_id)
        return found

    def named(self, essential: str) -> Iterator[int]:
        """The ids of the types whose names are that without their flavours, in order."""
        wanted = zlib.crc32(essential.encode(errors="replace"))
        index = self._index
        at = bisect_left(index.hashes, wanted)
        while at < len(index.hashes) and index.hashes[at] == wanted:
            type_id = index.ids[at] - 1 + self._first
            if essential_name(name_of(self[type_id])) == essential:
                yield type_id
            at += 1

    def find(self, name: str, kind: type[BtfType]) -> int | None:
        """The first type of that kind and name."""
        for type_id in self.named(essential_name(name)):
            found = self[type_id]
            if isinstance(found, kind) and name_of(found) == name:
                return type_id
        return None

    def resolve(self, type_id: int) -> int:
        for _ in range(_MAX_CHAIN):
            kind = self[type_id]
            if not isinstance(kind, MODIFIERS):
                return type_id
            type_id = kind.type
        raise BtfError(f"type {type_id} stands for others in too long a chain", file=self.file)

    def size_of(self, type_id: int) -> int:
        times, at = 1, type_id
        for _ in range(_MAX_CHAIN):
            kind = self[at]
            if isinstance(kind, Ptr | _SIZED):
                size = times * (POINTER_SIZE if isinstance(kind, Ptr) else kind.size)
                if size > MAX_SIZE:
                    raise BtfError(f"type {type_id} is {size} bytes large", file=self.file)
                return size
            if isinstance(kind, Array):
                times *= kind.count
            elif not isinstance(kind, (Var, *MODIFIERS)):
                raise BtfError(f"{self.c_name(type_id)} has no size", file=self.file)
            at = kind.type
        raise BtfError(f"type {type_id} has no end", file=self.file)
