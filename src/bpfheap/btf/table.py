"""A BTF object: a table of types, checked once when it is made and trusted from then on."""

from __future__ import annotations

import hashlib
from typing import ClassVar

from bpfheap.btf.check import check
from bpfheap.btf.raw import encode_types, parse_types
from bpfheap.btf.types import (
    MODIFIERS,
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
)  # fmt: skip
from bpfheap.errors import BtfError

_QUALIFIERS = {Const: "const", Volatile: "volatile", Restrict: "restrict"}


class Btf:
    """`types[0]` is Void. Two are equal if they hold the same types in the same order.

    Raises BtfError for a type id out of range, a reference to a kind that cannot stand there, or
    a type that contains itself other than through a pointer.
    """

    EMPTY: ClassVar[Btf]

    def __init__(self, types: tuple[BtfType, ...] = (), file: str | None = None) -> None:
        self.types: tuple[BtfType, ...] = types or (Void(),)
        self.file = file
        self._sizes = check(self.types, file)
        self._digest: bytes | None = None
        self._tags: dict[tuple[int, int], tuple[str, ...]] = {}
        self._ids: dict[tuple[type[BtfType], str], int] = {}
        for type_id, kind in enumerate(self.types):
            if isinstance(kind, DeclTag):
                place = (kind.type, kind.component)
                self._tags[place] = (*self._tags.get(place, ()), kind.name)
            name = getattr(kind, "name", "")
            if name:
                self._ids.setdefault((type(kind), name), type_id)

    @classmethod
    def parse(cls, data: bytes, file: str | None = None) -> Btf:
        """From the bytes of a .BTF section. Raises BtfError."""
        return cls(parse_types(data, file), file)

    def encode(self) -> bytes:
        """The bytes of a .BTF section, little endian."""
        return encode_types(self.types)

    def __getitem__(self, type_id: int) -> BtfType:
        return self.types[type_id]

    def __len__(self) -> int:
        return len(self.types)

    def __repr__(self) -> str:
        return f"<BTF of {self.file or 'memory'}, {len(self.types)} types>"

    @property
    def digest(self) -> bytes:
        """Tells contents apart: SHA-256 of the types."""
        if self._digest is None:
            self._digest = hashlib.sha256(repr(self.types).encode()).digest()
        return self._digest

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Btf) and self.digest == other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    def find(self, name: str, kind: type[BtfType] | None = None) -> int | None:
        """The first type of that name, of one kind or of any."""
        if kind is not None:
            return self._ids.get((kind, name))
        return min((i for (_, n), i in self._ids.items() if n == name), default=None)

    def resolve(self, type_id: int) -> int:
        """The type behind typedefs, qualifiers and type tags."""
        kind = self.types[type_id]
        while isinstance(kind, MODIFIERS):
            type_id = kind.type
            kind = self.types[type_id]
        return type_id

    def size_of(self, type_id: int) -> int:
        """In bytes. Raises BtfError for a type without a size (void, a function)."""
        size = self._sizes[type_id]
        if size is None:
            raise BtfError(f"{self.c_name(type_id)} has no size", file=self.file)
        return size

    def align_of(self, type_id: int) -> int:
        """In bytes, as the compiler would lay it out. Raises BtfError like `size_of`."""
        stack, seen, align = [type_id], set(), 1
        while stack:
            at = self.resolve(stack.pop())
            if at in seen:
                continue
            seen.add(at)
            kind = self.types[at]
            match kind:
                case Struct() | Union():
                    stack += [m.type for m in kind.members]
                case Array():
                    stack.append(kind.type)
                case _:
                    align = max(align, min(self.size_of(at), 16))
        return align

    def decl_tags(self, type_id: int, component: int = -1) -> tuple[str, ...]:
        """The declaration tags on a type, or on one of its members or parameters."""
        return self._tags.get((type_id, component), ())

    def type_tags(self, type_id: int) -> tuple[str, ...]:
        """The type tags between a pointer and what it points at, outermost first. `type_id` is
        the pointer, perhaps behind typedefs and qualifiers."""
        kind = self.types[self.resolve(type_id)]
        if not isinstance(kind, Ptr):
            return ()
        tags = []
        kind = self.types[kind.type]
        while isinstance(kind, MODIFIERS):
            if isinstance(kind, TypeTag):
                tags.append(kind.name)
            kind = self.types[kind.type]
        return tuple(tags)

    def c_name(self, type_id: int) -> str:
        """The type's name as C spells it without a variable: "struct foo *"."""
        suffix = ""
        for _ in range(64):
            kind = self.types[type_id]
            match kind:
                case Ptr():
                    suffix = f"*{suffix}"
                case Array():
                    suffix = f"{suffix}[{kind.count}]"
                case TypeTag():
                    pass
                case Const() | Volatile() | Restrict():
                    word = _QUALIFIERS[type(kind)]
                    suffix = f" {word}{suffix}" if suffix.startswith("*") or suffix else f" {word}"
                case _:
                    return f"{self._base_name(kind)} {suffix.strip()}".strip()
            type_id = kind.type
        return f"... {suffix}"

    @staticmethod
    def _base_name(kind: BtfType) -> str:
        name = getattr(kind, "name", "") or "(anonymous)"
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
            case FuncProto():
                return "function"
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
