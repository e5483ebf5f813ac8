"""The kinds of BTF types, one class each (Documentation/bpf/btf.rst)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple


class Member(NamedTuple):
    """`bitfield_size` is 0 for an ordinary member."""

    name: str
    type: int
    bit_offset: int
    bitfield_size: int = 0


class Param(NamedTuple):
    """A parameter; name "" and type 0 stand for "..."."""

    name: str
    type: int


class SecVar(NamedTuple):
    """A variable (or function) of a section: its type's id, and its place in bytes."""

    type: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Void:
    """Type 0."""

    KIND: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Int:
    """`size` in bytes; `encoding` bits: 1 signed, 2 char, 4 bool."""

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
    type: int
    KIND: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Array:
    type: int
    index_type: int
    count: int
    KIND: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class Struct:
    name: str
    size: int
    members: tuple[Member, ...]
    KIND: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class Union:
    name: str
    size: int
    members: tuple[Member, ...]
    KIND: ClassVar[int] = 5


@dataclass(frozen=True, slots=True)
class Enum:
    name: str
    size: int
    signed: bool
    values: tuple[tuple[str, int], ...]
    KIND: ClassVar[int] = 6


@dataclass(frozen=True, slots=True)
class Fwd:
    name: str
    is_union: bool
    KIND: ClassVar[int] = 7


@dataclass(frozen=True, slots=True)
class Typedef:
    name: str
    type: int
    KIND: ClassVar[int] = 8


@dataclass(frozen=True, slots=True)
class Volatile:
    type: int
    KIND: ClassVar[int] = 9


@dataclass(frozen=True, slots=True)
class Const:
    type: int
    KIND: ClassVar[int] = 10


@dataclass(frozen=True, slots=True)
class Restrict:
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
    ret: int
    params: tuple[Param, ...]
    KIND: ClassVar[int] = 13


@dataclass(frozen=True, slots=True)
class Var:
    name: str
    type: int
    linkage: int
    KIND: ClassVar[int] = 14


@dataclass(frozen=True, slots=True)
class Datasec:
    name: str
    size: int
    vars: tuple[SecVar, ...]
    KIND: ClassVar[int] = 15


@dataclass(frozen=True, slots=True)
class Float:
    name: str
    size: int
    KIND: ClassVar[int] = 16


@dataclass(frozen=True, slots=True)
class DeclTag:
    """A tag on a struct, function or variable (`component` -1), a member or a parameter. With
    `attribute`, the name is that of a compiler's attribute and no tag (since Linux 6.14)."""

    name: str
    type: int
    component: int
    attribute: bool = False
    KIND: ClassVar[int] = 17


@dataclass(frozen=True, slots=True)
class TypeTag:
    """`attribute` as in DeclTag."""

    name: str
    type: int
    attribute: bool = False
    KIND: ClassVar[int] = 18


@dataclass(frozen=True, slots=True)
class Enum64:
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
