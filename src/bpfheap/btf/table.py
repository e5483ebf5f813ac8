"""A BTF object: a table of types, checked once when it is made and trusted from then on."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from bpfheap.btf.check import check
from bpfheap.btf.raw import encode_types, parse_types
from bpfheap.btf.types import (
    Array,
    BtfType,
    Const,
    DeclTag,
    Enum,
    Enum64,
    FuncProto,
    Fwd,
    Ptr,
    Restrict,
    Struct,
    TypeTag,
    Union,
    Void,
    Volatile,
    name_of,
)  # fmt: skip
from bpfheap.errors import BtfError

QUALIFIERS: dict[type[BtfType], str] = {
    Const: "const",
    Volatile: "volatile",
    Restrict: "restrict",
}
#: `c_name` writes no longer chains of pointers and arrays, and no more parameters.
_MAX_NAMED = 64
_MAX_PARAMS = 6


class BtfTypes(ABC):
    """Types by their ids: what a Btf, all of which was checked, and a LazyBtf have in common."""

    file: str | None

    @abstractmethod
    def __getitem__(self, type_id: int) -> BtfType:
        """Raises BtfError for an id that is not there."""

    @abstractmethod
    def __len__(self) -> int:
        """With void."""

    @abstractmethod
    def resolve(self, type_id: int) -> int:
        """The type behind typedefs, qualifiers and type tags. Raises BtfError."""

    @abstractmethod
    def size_of(self, type_id: int) -> int:
        """In bytes. Raises BtfError for a type without a size (void, a function)."""

    def missing(self, type_id: int) -> BtfError:
        """The error for an id that is not there."""
        return BtfError(f"there is no type {type_id}, BTF has {len(self)} types", file=self.file)

    def c_name(self, type_id: int) -> str:
        """The type's name as C spells it without a variable: "struct foo *", "int (*)[3]". Tags
        are left out, and so are parameters where there are many: it is meant for messages."""
        return self._c_name(type_id, 0)

    def _c_name(self, type_id: int, depth: int) -> str:
        inner = ""
        before: list[str] = []  # qualifiers met since the last pointer
        kind = self[type_id]
        for _ in range(_MAX_NAMED):
            match kind:
                case Const() | Volatile() | Restrict():
                    before.append(QUALIFIERS[type(kind)])
                    kind = self[kind.type]
                case TypeTag():
                    kind = self[kind.type]
                case Ptr():
                    words = " ".join(before)
                    gap = " " if words and inner and inner[0] not in "[(" else ""
                    inner, before = f"*{words}{gap}{inner}", []
                    kind = self[kind.type]
                case Array():
                    inner = f"{closed(inner)}[{kind.count}]"
                    kind = self[kind.type]
                case FuncProto():
                    inner = f"{closed(inner)}({self._params(kind, depth)})"
                    kind = self[kind.ret]
                case _:
                    break
        else:
            return f"... {inner[:_MAX_NAMED]}"
        gap = " " if inner and inner[0] != "[" else ""
        return " ".join([*before, _base_name(kind)]) + gap + inner

    def _params(self, proto: FuncProto, depth: int) -> str:
        if depth > 1 or len(proto.params) > _MAX_PARAMS:
            return "..."
        parts = [self._c_name(p.type, depth + 1) if p.type else "..." for p in proto.params]
        return ", ".join(parts) or "void"


class Btf(BtfTypes):
    """`types[0]` is Void; `sizes` and `aligns` are in bytes, None for types that have none. Two
    are equal if they hold the same types in the same order.

    Raises BtfError for a type id out of range, a reference to a kind that cannot stand there, a
    type that contains itself other than through a pointer, and whatever else `check` refuses:
    once there is a Btf, asking it anything is safe.
    """

    EMPTY: ClassVar[Btf]

    def __init__(self, types: tuple[BtfType, ...] = (), file: str | None = None) -> None:
        self.types: tuple[BtfType, ...] = types or (Void(),)
        self.file = file
        self.sizes, self.aligns, self._resolved, self._type_tags = check(self.types, file)
        self._digest: bytes | None = None
        self._ids: dict[tuple[type[BtfType] | None, str], int] = {}
        tags: dict[tuple[int, int], list[str]] = {}
        for type_id, kind in enumerate(self.types):
            if isinstance(kind, DeclTag) and not kind.attribute:
                tags.setdefault((kind.type, kind.component), []).append(kind.name)
            name = name_of(kind)
            if name:
                self._ids.setdefault((type(kind), name), type_id)
                self._ids.setdefault((None, name), type_id)
        self._tags = {place: tuple(names) for place, names in tags.items()}

    @classmethod
    def parse(cls, data: bytes, file: str | None = None) -> Btf:
        """From the bytes of a .BTF section. Raises BtfError."""
        return cls(parse_types(data, file), file)

    def encode(self) -> bytes:
        """The bytes of a .BTF section, little endian."""
        return encode_types(self.types)

    def __getitem__(self, type_id: int) -> BtfType:
        """Raises BtfError for an id that is not there."""
        if not 0 <= type_id < len(self.types):
            raise self.missing(type_id)
        return self.types[type_id]

    def __iter__(self) -> Iterator[BtfType]:
        return iter(self.types)

    def __len__(self) -> int:
        return len(self.types)

    def __repr__(self) -> str:
        return f"<BTF of {self.file or 'memory'}, {len(self.types)} types>"

    @property
    def digest(self) -> bytes:
        """Tells contents apart: SHA-256 of the encoded types."""
        if self._digest is None:
            self._digest = hashlib.sha256(self.encode()).digest()
        return self._digest

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Btf) and self.digest == other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    def find(self, name: str, kind: type[BtfType] | None = None) -> int | None:
        """The first type of that name, of one kind or of any."""
        return self._ids.get((kind, name))

    def resolve(self, type_id: int) -> int:
        """The type behind typedefs, qualifiers and type tags. Raises BtfError for an id that is
        not there, as all methods that take one do."""
        if not 0 <= type_id < len(self.types):
            raise self.missing(type_id)
        return self._resolved[type_id]

    def size_of(self, type_id: int) -> int:
        """In bytes. Raises BtfError for a type without a size (void, a function)."""
        size = self.sizes[type_id] if 0 <= type_id < len(self.types) else None
        if size is None:
            raise BtfError(f"{self.c_name(type_id)} has no size", file=self.file)
        return size

    def align_of(self, type_id: int) -> int:
        """In bytes, as far as BTF tells: what the compiler's rules give, 1 for a struct whose
        layout only `packed` explains, more where only `aligned` explains its size. Raises
        BtfError like `size_of`."""
        self.size_of(type_id)
        return self.aligns[type_id] or 1

    def decl_tags(self, type_id: int, component: int = -1) -> tuple[str, ...]:
        """The declaration tags on a type, or on one of its members or parameters."""
        return self._tags.get((type_id, component), ())

    def type_tags(self, type_id: int) -> tuple[str, ...]:
        """The type tags between a pointer and what it points at, outermost first. `type_id` is
        the pointer, perhaps behind typedefs and qualifiers."""
        kind = self.types[self.resolve(type_id)]
        return self._type_tags[kind.type] if isinstance(kind, Ptr) else ()


def closed(inner: str) -> str:
    """A declarator that an array or function may follow."""
    return f"({inner})" if inner.startswith("*") else inner


def _base_name(kind: BtfType) -> str:
    name = name_of(kind) or "(anonymous)"
    match kind:
        case Struct():
            return f"struct {name}"
        case Union():
            return f"union {name}"
        case Enum() | Enum64():
            return f"enum {name}"
        case Fwd():
            return f"{'union' if kind.is_union else 'struct'} {name}"
        case Void():
            return "void"
    return name


Btf.EMPTY = Btf()


class BtfBuilder:
    """Make BTF type by type. Ids are given in the order of adding, from 1."""

    def __init__(self) -> None:
        self._types: list[BtfType] = [Void()]

    def add(self, kind: BtfType) -> int:
        """The new type's id. It may name ids that are added later."""
        self._types.append(kind)
        return len(self._types) - 1

    def build(self, file: str | None = None) -> Btf:
        """Raises BtfError if the types do not fit together."""
        return Btf(tuple(self._types), file)
