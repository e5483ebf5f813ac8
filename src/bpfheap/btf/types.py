"""The kinds of BTF types, one class each (Documentation/bpf/btf.rst)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple


class Member(NamedTuple):
    """A member of a struct or union: `type` is an id, `bitfield_size` is 0 if it is no bitfield."""

    name: str
    type: int
    bit_offset: int
    bitfield_size: int = 0


class Param(NamedTuple):
    """A parameter; name "" and type 0 stand for "..."."""

    name: str
    type: int


class SecVar(NamedTuple):
    """A variable (or function) of a section: the id of its Var (Func), offset and size in bytes."""

    type: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Void:
    """Type 0."""

    KIND: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Int:
    """An integer: `size` in bytes; `encoding` has bits 1 (signed), 2 (char), 4 (bool); `bits` of
    the size are used, from bit `offset` on."""

    name: str
    size: int
    encoding: int = 0
    offset: int = 0
    bits: int = 0
    KIND: ClassVar[int] = 1

    @property
    def signed(self) -> bool:
        return bool(self.encoding & 1)


@dataclass(frozen=True, slots=True)
class Ptr:
    """A pointer to `type`."""

    type: int
    KIND: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Array:
    """`count` elements of `type`; `index_type` is the type of an index."""

    type: int
    index_type: int
    count: int
    KIND: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class Struct:
    """A struct; `size` in bytes, "" is the name of an anonymous one."""

    name: str
    size: int
    members: tuple[Member, ...]
    KIND: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class Union:
    """A union, as Struct."""

    name: str
    size: int
    members: tuple[Member, ...]
    KIND: ClassVar[int] = 5


@dataclass(frozen=True, slots=True)
class Enum:
    """An enum of at most 32 bits; `size` in bytes, `values` are (name, value)."""

    name: str
    size: int
    signed: bool
    values: tuple[tuple[str, int], ...]
    KIND: ClassVar[int] = 6


@dataclass(frozen=True, slots=True)
class Fwd:
    """A forward declaration of a struct or union."""

    name: str
    is_union: bool
    KIND: ClassVar[int] = 7


@dataclass(frozen=True, slots=True)
class Typedef:
    """A typedef of `type`."""

    name: str
    type: int
    KIND: ClassVar[int] = 8


@dataclass(frozen=True, slots=True)
class Volatile:
    """`type`, volatile."""

    type: int
    KIND: ClassVar[int] = 9


@dataclass(frozen=True, slots=True)
class Const:
    """`type`, const."""

    type: int
    KIND: ClassVar[int] = 10


@dataclass(frozen=True, slots=True)
class Restrict:
    """`type`, restrict."""

    type: int
    KIND: ClassVar[int] = 11


@dataclass(frozen=True, slots=True)
class Func:
    """`type` is the FuncProto; `linkage` 0 static, 1 global, 2 extern."""

    name: str
    type: int
    linkage: int
    KIND: ClassVar[int] = 12


@dataclass(frozen=True, slots=True)
class FuncProto:
    """A function's signature; `ret` is the type that it returns."""

    ret: int
    params: tuple[Param, ...]
    KIND: ClassVar[int] = 13


@dataclass(frozen=True, slots=True)
class Var:
    """A global variable; `linkage` as in Func."""

    name: str
    type: int
    linkage: int
    KIND: ClassVar[int] = 14


@dataclass(frozen=True, slots=True)
class Datasec:
    """A section with variables; `size` in bytes, 0 until it is linked."""

    name: str
    size: int
    vars: tuple[SecVar, ...]
    KIND: ClassVar[int] = 15


@dataclass(frozen=True, slots=True)
class Float:
    """A floating point number of `size` bytes."""

    name: str
    size: int
    KIND: ClassVar[int] = 16


@dataclass(frozen=True, slots=True)
class DeclTag:
    """A tag on type `type` itself (`component` -1), or on its member or parameter number
    `component`. With `attribute`, it is a compiler's attribute and no tag (since Linux 6.14)."""

    name: str
    type: int
    component: int
    attribute: bool = False
    KIND: ClassVar[int] = 17


@dataclass(frozen=True, slots=True)
class TypeTag:
    """A tag on what a pointer points at; `attribute` as in DeclTag."""

    name: str
    type: int
    attribute: bool = False
    KIND: ClassVar[int] = 18


@dataclass(frozen=True, slots=True)
class Enum64:
    """An enum of up to 64 bits, as Enum."""

    name: str
    size: int
    signed: bool
    values: tuple[tuple[str, int], ...]
    KIND: ClassVar[int] = 19


BtfType = (
    Void | Int | Ptr | Array | Struct | Union | Enum | Fwd | Typedef | Volatile | Const | Restrict
    | Func | FuncProto | Var | Datasec | Float | DeclTag | TypeTag | Enum64
)  # fmt: skip

#: Kinds that stand for another type and change nothing of its layout.
MODIFIERS = (Typedef, Volatile, Const, Restrict, TypeTag)

KINDS: tuple[type[BtfType], ...] = (
    Void, Int, Ptr, Array, Struct, Union, Enum, Fwd, Typedef, Volatile, Const, Restrict, Func,
    FuncProto, Var, Datasec, Float, DeclTag, TypeTag, Enum64,
)  # fmt: skip


def name_of(kind: BtfType) -> str:
    """The type's own name; "" for an anonymous type or a kind without names."""
    name: str = getattr(kind, "name", "")
    return name
