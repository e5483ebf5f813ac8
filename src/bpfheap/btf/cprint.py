"""BTF as C: declarations that compile to the same types again."""

from __future__ import annotations

from bpfheap.btf.table import Btf
from bpfheap.btf.types import (
    Array,
    BtfType,
    Const,
    Enum,
    Enum64,
    Float,
    FuncProto,
    Fwd,
    Int,
    Ptr,
    Restrict,
    Struct,
    Typedef,
    TypeTag,
    Union,
    Void,
    Volatile,
)  # fmt: skip
from bpfheap.errors import BtfError

_QUALIFIERS = {Const: "const", Volatile: "volatile", Restrict: "restrict"}
#: Deeper nesting of pointers, arrays and anonymous structs comes from no compiler.
_MAX_DEPTH = 64


def declare(btf: Btf, type_id: int, name: str = "") -> str:
    """A declaration of `name` with that type, without the semicolon: "struct foo *ptr".

    Anonymous structs, unions and enums are written out. Raises BtfError for nesting or length
    that no compiler makes.
    """
    return _Writer(btf).declare(type_id, name)


def define(btf: Btf, type_id: int) -> str:
    """The definition of a struct, union or enum, without the semicolon; for other types what
    `declare` gives. Raises BtfError like `declare`."""
    return _Writer(btf).define(type_id)


class _Writer:
    """Writes types and counts what it writes: a few hundred bytes of wild BTF can describe
    anonymous structs that would fill the disk."""

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.left = 1_000_000

    def spend(self, depth: int, type_id: int) -> None:
        self.left -= 1
        if depth > _MAX_DEPTH or self.left < 0:
            raise BtfError(
                f"type {type_id} is nested too deep or too often to be written as C",
                file=self.btf.file,
            )

    def declare(self, type_id: int, name: str = "", *, depth: int = 0, indent: str = "") -> str:
        self.spend(depth, type_id)
        inner = name
        before: list[str] = []  # qualifiers and tags met since the last pointer, function or array
        for _ in range(_MAX_DEPTH):
            kind = self.btf[type_id]
            match kind:
                case Const() | Volatile() | Restrict():
                    before.append(_QUALIFIERS[type(kind)])
                    type_id = kind.type
                case TypeTag():
                    before.append(f'__attribute__((btf_type_tag("{kind.name}")))')
                    type_id = kind.type
                case Ptr():
                    words = " ".join(before)
                    inner = f"*{words} {inner}" if words and inner else f"*{words}{inner}"
                    before = []
                    type_id = kind.type
                case Array():
                    inner = f"{_closed(inner)}[{kind.count}]"
                    type_id = kind.type
                case FuncProto():
                    inner = f"{_closed(inner)}({self.params(kind, depth)})"
                    type_id = kind.ret
                case _:
                    base = self.base(type_id, depth, indent)
                    return " ".join([*before, base, inner]).rstrip()
        raise BtfError(f"type {type_id} is nested deeper than {_MAX_DEPTH}", file=self.btf.file)

    def params(self, proto: FuncProto, depth: int) -> str:
        parts = [
            "..." if p.type == 0 and not p.name else self.declare(p.type, p.name, depth=depth + 1)
            for p in proto.params
        ]
        return ", ".join(parts) or "void"

    def base(self, type_id: int, depth: int, indent: str) -> str:
        kind = self.btf[type_id]
        match kind:
            case Void():
                return "void"
            case Struct() | Union() | Enum() | Enum64() if not kind.name:
                return self.define(type_id, depth=depth + 1, indent=indent)
            case Int() | Float() | Typedef():
                return kind.name or f"unsigned _BitInt({self.btf.size_of(type_id) * 8})"
            case Struct() | Union() | Enum() | Enum64() | Fwd():
                return self.btf.c_name(type_id)
        raise BtfError(
            f"type {type_id}, a {type(kind).__name__}, is no type of a value", file=self.btf.file
        )

    def define(self, type_id: int, *, depth: int = 0, indent: str = "") -> str:
        kind = self.btf[type_id]
        match kind:
            case Struct() | Union():
                lines = [
                    f"{indent}\t{self.member(type_id, i, depth, indent)};\n"
                    for i in range(len(kind.members))
                ]
                return f"{_head(kind)} {{\n{''.join(lines)}{indent}}}{_packed(self.btf, kind)}"
            case Enum() | Enum64():
                lines = [f"{indent}\t{name} = {_number(kind, v)},\n" for name, v in kind.values]
                mode = {1: "byte", 2: "word"}.get(kind.size) if isinstance(kind, Enum) else None
                tail = f" __attribute__((mode({mode})))" if mode else ""
                return f"{_head(kind)} {{\n{''.join(lines)}{indent}}}{tail}"
        return self.declare(type_id, depth=depth, indent=indent)

    def member(self, type_id: int, index: int, depth: int, indent: str) -> str:
        kind = self.btf[type_id]
        assert isinstance(kind, Struct | Union)
        member = kind.members[index]
        text = self.declare(member.type, member.name, depth=depth, indent=indent + "\t")
        if member.bitfield_size:
            text += f" : {member.bitfield_size}"
        for tag in self.btf.decl_tags(type_id, index):
            text += f' __attribute__((btf_decl_tag("{tag}")))'
        return text


def _closed(inner: str) -> str:
    return f"({inner})" if inner.startswith("*") else inner


def _head(kind: Struct | Union | Enum | Enum64) -> str:
    word = {Struct: "struct", Union: "union"}.get(type(kind), "enum")
    return f"{word} {kind.name}".rstrip()


def _number(kind: Enum | Enum64, value: int) -> str:
    if isinstance(kind, Enum64):
        # The lowest number cannot be written as one constant in C.
        return f"{value}LL" if value > -(1 << 63) and kind.signed else f"{value % (1 << 64)}ULL"
    return str(value)


def _packed(btf: Btf, kind: Struct | Union) -> str:
    """Whether the compiler would lay the members out otherwise of its own accord."""
    for member in kind.members:
        if not member.bitfield_size and member.bit_offset // 8 % btf.align_of(member.type):
            return " __attribute__((packed))"
    align = max((btf.align_of(m.type) for m in kind.members), default=1)
    return " __attribute__((packed))" if kind.size % align else ""


def dump_c(btf: Btf) -> str:
    """Every type that has a name, each after those that it needs, with declarations of all structs
    first. Functions and variables are not types and are left out. Raises BtfError."""
    out = [f"{word} {name};\n" for word, name in dict.fromkeys(_declared(btf))]
    writer = _Writer(btf)
    # A typedef can need itself by way of a pointer to a function; such a cycle is cut anywhere.
    seen: set[int] = set()
    for root in range(len(btf)):
        stack = [(root, False)]
        while stack:
            type_id, ready = stack.pop()
            if ready:
                out += _top_level(writer, type_id)
            elif type_id not in seen:
                seen.add(type_id)
                stack.append((type_id, True))
                stack += [(need, False) for need in reversed(_needs(btf, type_id))]
    return "".join(out)


def _declared(btf: Btf) -> list[tuple[str, str]]:
    found = []
    for kind in btf.types:
        match kind:
            case Struct(name=name) if name:
                found.append(("struct", name))
            case Union(name=name) if name:
                found.append(("union", name))
            case Fwd(name=name):
                found.append(("union" if kind.is_union else "struct", name))
    return found


def _needs(btf: Btf, type_id: int) -> list[int]:
    """What has to be written before a type: what it contains, and the typedefs and enums behind
    its pointers; a pointer to a struct needs no more than its declaration."""
    kind = btf[type_id]
    match kind:
        case Struct() | Union():
            return [m.type for m in kind.members]
        case Array() | Typedef() | Const() | Volatile() | Restrict() | TypeTag():
            return [kind.type]
        case Ptr():
            target = kind.type
            named = btf[target]
            while isinstance(named, Const | Volatile | Restrict | TypeTag):
                target = named.type
                named = btf[target]
            return [] if isinstance(named, Struct | Union) and named.name else [target]
        case FuncProto():
            return [kind.ret, *(p.type for p in kind.params)]
    return []


def _top_level(writer: _Writer, type_id: int) -> list[str]:
    kind: BtfType = writer.btf[type_id]
    match kind:
        case Typedef():
            return [f"typedef {writer.declare(kind.type, kind.name)};\n"]
        case Struct() | Union() | Enum() | Enum64() if kind.name:
            return [f"{writer.define(type_id)};\n"]
    return []
