"""BTF as C: declarations that compile to the same types again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bpfheap.btf.check import references
from bpfheap.btf.identity import MAX_PAIRS, compare
from bpfheap.btf.layout import gaps, lay_out, paddings
from bpfheap.btf.table import QUALIFIERS, Btf, closed
from bpfheap.btf.types import (
    Array,
    Const,
    Enum,
    Enum64,
    Float,
    Func,
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
    name_of,
)  # fmt: skip
from bpfheap.errors import BtfError

#: Deeper nesting of pointers, arrays and anonymous structs comes from no compiler.
_MAX_DEPTH = 64
#: The most characters that are written. All types of a kernel take about four million; a few
#: hundred bytes of hostile BTF (nested anonymous structs) could take terabytes.
_MAX_TEXT = 1 << 25

#: The attributes that a type tag may be, and that clang reads again.
_ADDRESS_SPACE = re.compile(r"address_space\(\d{1,8}\)")
#: What names of integers and floats consist of; compilers have others, such as "ssizetype".
_ARITHMETIC = re.compile(
    r"(?:(?:char|short|int|long|signed|unsigned|float|double|__int128|_BitInt\(\d+\)) ?)+"
)
#: The compiler's own type, which is another one on another target.
_VA_LIST = "__builtin_va_list"

#: Size of an enum in bytes -> the integer under it.
_WIDTHS = {1: "char", 2: "short", 4: "int", 8: "long long"}


def declare(btf: Btf, type_id: int, name: str = "") -> str:
    """A declaration of `name` with that type, without the semicolon: "struct foo *ptr".

    Anonymous structs, unions and enums are written out. Raises BtfError for nesting or length
    that no compiler makes.
    """
    return _Writer(btf).declare(type_id, name)


def print_c(btf: Btf, type_id: int) -> str:
    """The complete C definition of a struct, union, enum or typedef, with all that is anonymous
    in it, attributes and tags; for any other type its name. Raises BtfError like `declare`."""
    writer = _Writer(btf)
    match btf[type_id]:
        case Typedef():
            return f"{writer.typedef(type_id)};"
        case Struct() | Union() | Enum() | Enum64():
            return f"{writer.define(type_id)};"
    return writer.declare(type_id)


def dump_c(btf: Btf) -> str:
    """Every type that has a name, each after those that it needs, with declarations of all structs
    first, and enums that have none. Functions and variables are not types and are left out. Where
    several types or values have one name, as those local to functions may, the later ones get a
    number: "foo___2". Raises BtfError.
    """
    return Dump(btf).types


class Dump:
    """All types of a BTF as C, as `dump_c` gives them, and what else is said with them.

    `attributes`: write attributes that some targets do not have, such as address_space.
    """

    def __init__(self, btf: Btf, *, attributes: bool = False) -> None:
        self._writer = writer = _Writer(btf)
        writer.attributes = attributes
        named, self._again = _distinct(btf)
        writer.names.update(named)
        writer.names.update(_argument_lists(btf, named))
        counts = Counter(ref for kind in btf.types for ref in references(kind))
        writer.hoisted.update(_shared(btf, counts))
        writer.loose.update(
            type_id
            for type_id, kind in enumerate(btf.types)
            if isinstance(kind, Enum | Enum64) and not kind.name and not counts[type_id]
        )
        # Typedefs, values of enums and functions share one name space.
        for type_id, kind in enumerate(btf.types):
            if isinstance(kind, Typedef):
                writer.values[writer.name(type_id)] = 1
        self.types = self._definitions()

    def prototype(self, type_id: int) -> str | None:
        """The declaration of a function, without the semicolon; None if something else has its
        name. Raises BtfError."""
        function = self._writer.btf[type_id]
        assert isinstance(function, Func)
        if self._writer.values.get(function.name):
            return None
        self._writer.values[function.name] = 1
        return self._writer.declare(function.type, function.name)

    def _definitions(self) -> str:
        writer = self._writer
        out = [f"{line};\n" for line in dict.fromkeys(_declarations(writer)) if line]
        # A typedef can need itself by way of a pointer to a function; such a cycle is cut anywhere.
        seen: set[_Need] = set()
        for root in range(len(writer.btf)):
            stack = [(_Need(root, complete=True), False)]
            while stack:
                need, ready = stack.pop()
                if ready:
                    out += _top_level(writer, need) if need.type not in self._again else ()
                elif need not in seen:
                    seen.add(need)
                    stack.append((need, True))
                    stack += [(other, False) for other in reversed(_needs(writer.btf, need))]
        return "".join(out)


class _Need(NamedTuple):
    """A type that has to be written before another one. `complete`: its definition is needed, not
    only its name, as behind a pointer."""

    type: int
    complete: bool


class _Writer:
    """Writes types as C."""

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        #: Names to use instead of the types' own.
        self.names: dict[int, str] = {}
        #: Anonymous enums, and the typedef that stands for each.
        self.hoisted: dict[int, str] = {}
        #: Anonymous enums that no type refers to: constants, such as BPF_ANY.
        self.loose: set[int] = set()
        #: Write attributes such as address_space, which some targets do not have.
        self.attributes = False
        #: How many characters may still be written.
        self.left = _MAX_TEXT
        #: Enums whose values are written already.
        self.enums: set[int] = set()
        #: How often an enum value of that name was written.
        self.values: dict[str, int] = {}

    def spend(self, depth: int, type_id: int, size: int) -> None:
        """Count `size` characters. Raises BtfError past _MAX_TEXT or _MAX_DEPTH."""
        self.left -= size
        if depth > _MAX_DEPTH or self.left < 0:
            raise BtfError(
                f"type {type_id} is nested too deep or too often to be written as C",
                file=self.btf.file,
            )

    def declare(self, type_id: int, name: str = "", *, depth: int = 0, indent: str = "") -> str:
        """A declaration of `name`, without the semicolon; a type's name if `name` is ""."""
        self.spend(depth, type_id, 16 + len(name))
        inner = name
        before: list[str] = []  # qualifiers and tags met since the last pointer, function or array
        for _ in range(_MAX_DEPTH):
            kind = self.btf[type_id]
            match kind:
                case Const() | Volatile() | Restrict():
                    # An array and its elements may both be const; C says it once.
                    if QUALIFIERS[type(kind)] not in before:
                        before.append(QUALIFIERS[type(kind)])
                    type_id = kind.type
                case TypeTag():
                    if not kind.attribute:
                        before.append(self.attribute("btf_type_tag", kind.name))
                    elif self.attributes and (known := _ADDRESS_SPACE.fullmatch(kind.name)):
                        before.append(f"__attribute__(({known[0]}))")
                    type_id = kind.type
                case Ptr():
                    words = _words(before)
                    inner = f"*{words} {inner}" if words and inner else f"*{words}{inner}"
                    before = []
                    type_id = kind.type
                case Array():
                    inner = f"{closed(inner)}[{kind.count}]"
                    type_id = kind.type
                case FuncProto():
                    inner = f"{closed(inner)}({self.params(kind, depth)})"
                    type_id = kind.ret
                case _:
                    return " ".join(
                        filter(None, (_words(before), self.base(type_id, depth, indent), inner))
                    )
        raise BtfError(f"type {type_id} is nested deeper than {_MAX_DEPTH}", file=self.btf.file)

    def params(self, proto: FuncProto, depth: int) -> str:
        parts = [
            "..." if p.type == 0 and not p.name else self.declare(p.type, p.name, depth=depth + 1)
            for p in proto.params
        ]
        return ", ".join(parts) or "void"

    def base(self, type_id: int, depth: int, indent: str) -> str:
        """The part of a declaration in front of the declarator: "struct foo", "int"."""
        kind = self.btf[type_id]
        match kind:
            case Void():
                return "void"
            case Enum() | Enum64() if type_id in self.hoisted:
                return self.hoisted[type_id]
            case Enum() | Enum64() if not kind.name and type_id in self.enums:
                # Its values are declared already, and there is no other way to name it.
                return _integer(kind)
            case Struct() | Union() | Enum() | Enum64() if not kind.name:
                return self.define(type_id, depth=depth + 1, indent=indent)
            case Int() if kind.encoding & 4:
                return "_Bool"
            case Int() | Float() | Typedef():
                name = self.name(type_id)
                self.spend(depth, type_id, len(name))
                if isinstance(kind, Int) and name and not _ARITHMETIC.fullmatch(name):
                    return _arithmetic(kind)
                return name or f"unsigned _BitInt({self.btf.size_of(type_id) * 8})"
            case Struct() | Union() | Enum() | Enum64() | Fwd():
                return f"{_word(kind)} {self.name(type_id)}"
        raise BtfError(
            f"type {type_id}, a {type(kind).__name__}, is no type of a value", file=self.btf.file
        )

    def name(self, type_id: int) -> str:
        """What the type is called in the output."""
        return self.names.get(type_id) or name_of(self.btf[type_id])

    def typedef(self, type_id: int) -> str:
        kind = self.btf[type_id]
        assert isinstance(kind, Typedef)
        text = self.declare(kind.type, self.name(type_id))
        return f"typedef {text}{self.decl_tags(type_id)}"

    def define(self, type_id: int, *, depth: int = 0, indent: str = "") -> str:
        """The definition of a struct, union or enum, with its members."""
        kind = self.btf[type_id]
        assert isinstance(kind, Struct | Union | Enum | Enum64)
        head = f"{_word(kind)} {self.name(type_id)}".rstrip()
        if isinstance(kind, Struct | Union):
            lines = self.members(type_id, kind, depth, indent + "\t")
            tail = self.layout(kind) + self.decl_tags(type_id)
        else:
            self.enums.add(type_id)
            if not kind.values:
                return head
            lines = [f"{self.value(name)} = {_number(value)}," for name, value in kind.values]
            head, tail = head + _underlying(kind), ""
        self.spend(depth, type_id, sum(map(len, lines)) + len(indent) * len(lines))
        body = "".join(f"{indent}\t{line}\n" for line in lines)
        return f"{head} {{\n{body}{indent}}}{tail}"

    def value(self, name: str) -> str:
        """Of several values with one name, the later ones get a number."""
        self.values[name] = self.values.get(name, 0) + 1
        return f"{name}___{self.values[name]}" if self.values[name] > 1 else name

    def members(self, type_id: int, kind: Struct | Union, depth: int, indent: str) -> list[str]:
        """A line for each member, and for padding where the struct is packed."""
        before = [0] * (len(kind.members) + 1)
        between: list[list[int]] = [[] for _ in before]
        layout = lay_out(kind, self.btf.sizes, self.btf.aligns)
        if layout.padded and isinstance(kind, Struct):
            # Before it is made: hostile BTF may have a gap of gigabytes.
            wide = sum(gap for gap in gaps(kind, self.btf.sizes) if gap > 0)
            self.spend(0, type_id, 24 * (wide // 64))
            between = paddings(kind, layout, self.btf.sizes, self.btf.aligns)
        elif layout.packed:
            # A union grows with its largest member, but one without a name is 64 bits at most.
            struct = isinstance(kind, Struct)
            before = gaps(kind, self.btf.sizes) if struct else [*before[1:], min(64, kind.size * 8)]
        lines: list[str] = []
        for i, member in enumerate(kind.members):
            lines += self.padding(type_id, before[i]) + self.pieces(type_id, between[i])
            text = self.declare(member.type, member.name, depth=depth, indent=indent)
            width = f" : {member.bitfield_size}" if member.bitfield_size else ""
            lines.append(f"{text}{width}{self.decl_tags(type_id, i)};")
        return lines + self.padding(type_id, before[-1]) + self.pieces(type_id, between[-1])

    def pieces(self, type_id: int, widths: list[int]) -> list[str]:
        """Padding where no attribute says that there is none, unit by unit."""
        self.spend(0, type_id, 24 * len(widths))
        units = {64: "long long", 32: "int", 16: "short"}
        return [f"unsigned {units.get(width, 'char')} : {width};" for width in widths]

    def padding(self, type_id: int, bits: int) -> list[str]:
        """Padding, as unnamed bitfields, which BTF does not record. Negative gaps, which no
        compiler makes, are left out."""
        whole, rest = divmod(max(bits, 0), 64)
        self.spend(0, type_id, 24 * whole)
        return ["unsigned long long : 64;"] * whole + (
            [f"unsigned long long : {rest};"] if rest else []
        )

    def layout(self, kind: Struct | Union) -> str:
        """The attributes that give the struct its layout."""
        found = lay_out(kind, self.btf.sizes, self.btf.aligns)
        if found.packed:
            return " __attribute__((packed))"
        return f" __attribute__((aligned({found.align})))" if found.aligned else ""

    def decl_tags(self, type_id: int, component: int = -1) -> str:
        tags = self.btf.decl_tags(type_id, component)
        return "".join(f" {self.attribute('btf_decl_tag', tag)}" for tag in tags)

    def attribute(self, name: str, tag: str) -> str:
        self.spend(0, 0, len(tag))
        return f"__attribute__(({name}({_quoted(tag)})))"


def _words(before: Iterable[str]) -> str:
    """Of several tags, the compiler puts the last one outermost."""
    return " ".join(reversed(list(before)))


def _word(kind: Struct | Union | Enum | Enum64 | Fwd) -> str:
    if isinstance(kind, Enum | Enum64):
        return "enum"
    return (
        "union"
        if isinstance(kind, Union) or (isinstance(kind, Fwd) and kind.is_union)
        else "struct"
    )


def _quoted(text: str) -> str:
    """As a C string. What cannot be seen is written byte by byte."""
    out = []
    for char in text:
        if char in '"\\':
            out.append(f"\\{char}")
        elif char.isprintable():
            out.append(char)
        else:
            out += [f"\\{byte:03o}" for byte in char.encode()]
    return f'"{"".join(out)}"'


def _number(value: int) -> str:
    if value == -(1 << 63):
        # C has no constant for the lowest number, only for its successor.
        return f"{value + 1}LL - 1"
    if -(1 << 31) <= value < 1 << 32:
        return str(value)
    return f"{value}LL" if value < 1 << 63 else f"{value}ULL"


def _underlying(kind: Enum | Enum64) -> str:
    """The type under an enum, where the compiler would choose another for its values."""
    wide = any(not -(1 << 31) <= value < 1 << 32 for _, value in kind.values)
    negative = any(value < 0 for _, value in kind.values)
    if not kind.values or (kind.size, kind.signed) == (8 if wide else 4, negative):
        return ""
    return f" : {_integer(kind)}"


def _integer(kind: Enum | Enum64) -> str:
    return f"{'signed' if kind.signed else 'unsigned'} {_WIDTHS[kind.size]}"


def _arithmetic(kind: Int) -> str:
    """C's name for an integer that has one of the compiler's own."""
    width = {16: "__int128", **_WIDTHS}.get(kind.size, "int")
    return f"{'signed' if kind.signed else 'unsigned'} {width}"


def _argument_lists(btf: Btf, named: dict[int, str]) -> dict[int, str]:
    """New names for the compiler's list of arguments where it is none of BPF's, a pointer: what it
    is says the BTF, so that structs that have one keep their size."""
    return {
        type_id: f"{named.get(type_id, kind.name)}___host"
        for type_id, kind in enumerate(btf.types)
        if isinstance(kind, Typedef)
        and kind.name == _VA_LIST
        and not isinstance(btf[btf.resolve(type_id)], Ptr)
    }


def _distinct(btf: Btf) -> tuple[dict[int, str], set[int]]:
    """New names for types that differ from an earlier type of the same name, and the ids of types
    that are the same as an earlier one. Structs, unions and enums share one name space."""
    first: dict[tuple[bool, str], list[int]] = {}
    renamed: dict[int, str] = {}
    again: set[int] = set()
    left = MAX_PAIRS  # for all comparisons together: what is not compared gets a name of its own
    for type_id, kind in enumerate(btf.types):
        if not isinstance(kind, Struct | Union | Enum | Enum64 | Typedef) or not kind.name:
            continue
        others = first.setdefault((isinstance(kind, Typedef), kind.name), [])
        same = None
        for other in others:
            if same is None and left > 0:
                why, pairs = compare(btf, other, btf, type_id, left)
                left -= pairs
                same = other if why is None else None
        if same is None:
            others.append(type_id)
            if len(others) > 1:
                renamed[type_id] = f"{kind.name}___{len(others)}"
        else:
            again.add(type_id)
            if same in renamed:
                renamed[type_id] = renamed[same]
    return renamed, again


def _shared(btf: Btf, counts: Mapping[int, int]) -> dict[int, str]:
    """Anonymous enums that several types or members refer to. C could write their values once
    only, and a typedef changes nothing of what they are."""
    return {
        type_id: f"enum___{type_id}"
        for type_id, kind in enumerate(btf.types)
        if isinstance(kind, Enum | Enum64) and not kind.name and counts[type_id] > 1
    }


def _declarations(writer: _Writer) -> Iterable[str]:
    for type_id, kind in enumerate(writer.btf.types):
        if isinstance(kind, Struct | Union | Fwd) and kind.name:
            yield f"{_word(kind)} {writer.name(type_id)}"


def _needs(btf: Btf, need: _Need) -> list[_Need]:
    """What has to be written before what is needed."""
    kind = btf[need.type]
    match kind:
        case Struct() | Union() if need.complete or not kind.name:
            return [_Need(m.type, complete=True) for m in kind.members]
        case Typedef():
            behind = _Need(kind.type, complete=need.complete)
            return [behind, _Need(need.type, complete=False)] if need.complete else [behind]
        case Const() | Volatile() | Restrict() | TypeTag():
            return [_Need(kind.type, complete=need.complete)]
        case Array():
            return [_Need(kind.type, complete=True)]
        case Ptr():
            return [_Need(kind.type, complete=False)]
        case FuncProto():
            return [
                _Need(ref, complete=False) for ref in (kind.ret, *(p.type for p in kind.params))
            ]
    return []


def _top_level(writer: _Writer, need: _Need) -> list[str]:
    kind = writer.btf[need.type]
    match kind:
        # The compiler has this one built in.
        case Typedef() if not need.complete and writer.name(need.type) != _VA_LIST:
            return [f"{writer.typedef(need.type)};\n"]
        case Struct() | Union() if need.complete and kind.name:
            return [f"{writer.define(need.type)};\n"]
        case Enum() | Enum64() if need.type in writer.enums:
            return []
        case Enum() | Enum64() if need.type in writer.hoisted:
            return [f"typedef {writer.define(need.type)} {writer.hoisted[need.type]};\n"]
        case Enum() | Enum64() if kind.name or need.type in writer.loose:
            return [f"{writer.define(need.type)};\n"]
    return []
