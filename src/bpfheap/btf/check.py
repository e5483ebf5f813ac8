"""Validates a table of types: once, when a Btf is made, and without recursion (kernel:
btf_check_all_types and the *_check_meta and *_resolve functions)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from bpfheap.btf.layout import lay_out
from bpfheap.btf.types import (
    MODIFIERS,
    Array,
    BtfType,
    Datasec,
    DeclTag,
    Enum,
    Enum64,
    Float,
    Func,
    FuncProto,
    Fwd,
    Int,
    Ptr,
    Struct,
    Typedef,
    TypeTag,
    Union,
    Var,
    Void,
    name_of,
)  # fmt: skip
from bpfheap.errors import BtfError

POINTER_SIZE = 8
#: The largest size of a type in bytes, as in the kernel (btf_array_resolve).
MAX_SIZE = (1 << 32) - 1


_U32 = range(1 << 32)
#: The most type tags on one type; the kernel looks at one or two.
MAX_TAGS = 16
#: KSYM_NAME_LEN, with the NUL.
_MAX_NAME = 512
#: The greatest number of entries (members, values, ...) that the 16 bits of vlen can count.
_MAX_COUNT = 0xFFFF
_SURROGATE = re.compile("[\ud800-\udfff]")
_NAMED = (Fwd, Typedef, Func, Var, Datasec, Float, DeclTag, TypeTag)
_MAX_ALIGN = 16
_EXTERN = 2


class Checked(NamedTuple):
    """What the check found out about each type, by type id."""

    #: In bytes, None for types that have none; `aligns` too.
    sizes: tuple[int | None, ...]
    aligns: tuple[int | None, ...]
    #: The type behind typedefs, qualifiers and type tags.
    resolved: tuple[int, ...]
    #: The names of these type tags, outermost first.
    tags: tuple[tuple[str, ...], ...]


def check(types: tuple[BtfType, ...], file: str | None) -> Checked:
    """Raises BtfError for the first rule that is broken."""
    if not types or not isinstance(types[0], Void):
        raise BtfError("type 0 is not void", file=file)
    names: set[str] = set()
    for type_id, kind in enumerate(types):
        refs = references(kind)
        for ref in refs:
            if not 0 <= ref < len(types):
                raise BtfError(
                    f"type {type_id} refers to type {ref}, but there are only {len(types)}",
                    file=file,
                    hint="BTF split off a base BTF is not taken from users",
                )
        _check_names(type_id, kind, names, file)
        wrong = _out_of_range(type_id, kind)
        if wrong is not None:
            raise BtfError(f"type {type_id}: {wrong}", file=file)
        if len(refs) > _MAX_COUNT:
            raise BtfError(f"type {type_id} names more than {_MAX_COUNT} others", file=file)
        _check_kinds(types, type_id, kind, file)
    sizes, order = _sizes(types, file)
    resolved, tags = _chains(types, order, file)
    for kind in types:
        if isinstance(kind, Struct | Union):
            _check_members(types, sizes, resolved, kind, file)
        elif isinstance(kind, Datasec):
            _check_vars(types, sizes, kind, file)
    return Checked(tuple(sizes), _aligns(types, sizes, order), tuple(resolved), tuple(tags))


def _names(kind: BtfType) -> Iterator[str]:
    match kind:
        case Struct(members=members) | Union(members=members):
            yield from (m.name for m in members)
        case Enum(values=values) | Enum64(values=values):
            yield from (name for name, _ in values)
        case FuncProto(params=params):
            yield from (p.name for p in params)
    yield name_of(kind)


def _check_names(type_id: int, kind: BtfType, known: set[str], file: str | None) -> None:
    """Names go into one-line messages and into C. Tags are any text, C quotes them."""
    if isinstance(kind, _NAMED) and not kind.name:
        raise BtfError(f"type {type_id}, a {type(kind).__name__}, has no name", file=file)
    tag = isinstance(kind, DeclTag | TypeTag)
    for name in _names(kind):
        if name in known:
            continue
        if not (_is_text(name) if tag else _is_name(name)):
            raise BtfError(
                f"type {type_id}: the name {name[:40]!r} has odd characters or is longer than "
                f"{_MAX_NAME - 1} bytes",
                file=file,
            )
        if not tag:
            known.add(name)


def _is_text(name: str) -> bool:
    # Lone surrogates are the only characters that UTF-8 cannot write.
    return "\0" not in name and (name.isascii() or not _SURROGATE.search(name))


def _is_name(name: str) -> bool:
    return name.isprintable() and len(name.encode()) < _MAX_NAME


def _out_of_range(type_id: int, kind: BtfType) -> str | None:
    """What is wrong with the numbers of a type, taken by itself: sizes, bits, encodings."""
    match kind:
        case Void():
            return "void is type 0 only" if type_id else None
        case Int(name=name, size=size, encoding=encoding, offset=offset, bits=bits):
            if size not in (1, 2, 4, 8, 16) or offset < 0 or not 0 <= bits <= size * 8 - offset:
                return f"int {name} has {bits} bits at {offset} in {size} bytes"
            return None if encoding in range(16) else f"int {name} has encoding {encoding}"
        case Float(size=size) if size not in (2, 4, 8, 12, 16):
            return f"float {kind.name} has {size} bytes"
        case Enum(size=size) | Enum64(size=size) if size not in (1, 2, 4, 8):
            return f"enum {kind.name} has {size} bytes"
        case Enum(values=values) | Enum64(values=values):
            bits = 32 if isinstance(kind, Enum) else 64
            low, high = (-1 << (bits - 1), 1 << (bits - 1)) if kind.signed else (0, 1 << bits)
            if len(values) > _MAX_COUNT:
                return f"enum {kind.name} has more than {_MAX_COUNT} values"
            wrong = next((n for n, v in values if not low <= v < high), None)
            return None if wrong is None else f"{wrong} of enum {kind.name} needs over {bits} bits"
        case Struct(size=size) | Union(size=size) | Datasec(size=size) if size not in _U32:
            return f"{kind.name or 'a struct'} has {size} bytes"
        case Array(count=count) if count not in _U32:
            return f"an array has {count} elements"
        case Datasec(vars=variables):
            return (
                None
                if all(v.offset in _U32 and v.size in _U32 for v in variables)
                else f"section {kind.name} has a variable at a negative or huge offset"
            )
        case Func() | Var() if kind.linkage not in (0, 1, _EXTERN):
            return f"{kind.name} has linkage {kind.linkage}, not 0 (static), 1 (global), 2 (extern)"
        case DeclTag(component=component) if component not in range(-1, 1 << 31):
            return f"a tag is on component {component}"
    return None


def references(kind: BtfType) -> tuple[int, ...]:
    """The ids that a type names."""
    match kind:
        case Array(type=element, index_type=index):
            return (element, index)
        case Struct(members=members) | Union(members=members):
            return tuple(m.type for m in members)
        case FuncProto(ret=ret, params=params):
            return (ret, *(p.type for p in params))
        case Datasec(vars=variables):
            return tuple(v.type for v in variables)
        case _:
            ref = getattr(kind, "type", None)
            return () if ref is None else (ref,)


_NOT_VALUES = (Func, FuncProto, Var, Datasec, DeclTag)


def _check_kinds(types: tuple[BtfType, ...], type_id: int, kind: BtfType, file: str | None) -> None:
    """Which kinds may stand behind a reference."""

    def want(ref: int, allowed: tuple[type[BtfType], ...], what: str) -> None:
        if not isinstance(types[ref], allowed):
            raise BtfError(
                f"type {type_id}: {what} is type {ref}, a {type(types[ref]).__name__}", file=file
            )

    def value(ref: int, what: str) -> None:
        if isinstance(types[ref], _NOT_VALUES):
            raise BtfError(
                f"type {type_id}: {what} is type {ref}, a {type(types[ref]).__name__}", file=file
            )

    match kind:
        case Func():
            want(kind.type, (FuncProto,), "a function's prototype")
        case Datasec():
            for var in kind.vars:
                want(var.type, (Var, Func), "a section's variable")
        case DeclTag():
            want(
                kind.type,
                (Struct, Union, Func, Var, *MODIFIERS[:1]),
                "a declaration tag's target",
            )
            target = types[kind.type]
            if kind.component >= 0:
                count = _components(types, target)
                if kind.component >= count:
                    raise BtfError(
                        f"type {type_id}: tag {kind.name} is on component {kind.component} of "
                        f"type {kind.type}, which has {count}",
                        file=file,
                    )
        case Ptr():
            if isinstance(types[kind.type], Func | Var | Datasec | DeclTag):
                value(kind.type, "a pointer's target")
        case Struct() | Union():
            for member in kind.members:
                value(member.type, f"member {member.name}")
        case Array():
            value(kind.type, "an array's element")
            value(kind.index_type, "an array's index")
        case FuncProto():
            value(kind.ret, "a return value")
            for param in kind.params:
                value(param.type, f"parameter {param.name}")
        case Var():
            value(kind.type, "a variable's type")
        case _ if isinstance(kind, MODIFIERS) and not isinstance(types[kind.type], FuncProto):
            value(kind.type, "what it stands for")


def _components(types: tuple[BtfType, ...], target: BtfType) -> int:
    match target:
        case Struct(members=members) | Union(members=members):
            return len(members)
        case Func(type=proto):
            signature = types[proto]
            return len(signature.params) if isinstance(signature, FuncProto) else 0
    return 0


def _sizes(types: tuple[BtfType, ...], file: str | None) -> tuple[list[int | None], list[int]]:
    """The sizes, and an order in which each type comes after those that it contains. Depth first,
    with a stack of our own; a cycle is an error."""
    new, open_, done = 0, 1, 2
    state = [new] * len(types)
    sizes: list[int | None] = [None] * len(types)
    order = []
    for root in range(len(types)):
        stack = [root]
        while stack:
            type_id = stack[-1]
            kind = types[type_id]
            if state[type_id] == done:
                stack.pop()
                continue
            if state[type_id] == new:
                state[type_id] = open_
                for ref in _by_value(kind):
                    if state[ref] == open_:
                        raise BtfError(
                            f"type {ref} contains itself by way of type {type_id}", file=file
                        )
                    if state[ref] == new:
                        stack.append(ref)
                continue
            state[type_id] = done
            stack.pop()
            order.append(type_id)
            size = _size(kind, sizes)
            if size is not None and size > MAX_SIZE:
                raise _too_large(types, type_id, size, file)
            sizes[type_id] = size
    return sizes, order


def _too_large(types: tuple[BtfType, ...], type_id: int, size: int, file: str | None) -> BtfError:
    """A number in a map's definition is an array of as many (__uint in libbpf's bpf_helpers.h)."""
    kind = types[type_id]
    if not isinstance(kind, Array):
        return BtfError(f"type {type_id} is {size} bytes large", file=file)
    pointers = {i for i, t in enumerate(types) if isinstance(t, Ptr) and t.type == type_id}
    for at, struct in enumerate(types):
        for member in struct.members if isinstance(struct, Struct) else ():
            if member.type in pointers:
                of = next((t.name for t in types if isinstance(t, Var) and t.type == at), "?")
                return BtfError(
                    f"map {of}: {member.name} is {kind.count}, which is the type of an array of "
                    f"{size} bytes, and Linux takes none so large",
                    file=file,
                    hint="write a number below 1 << 30, and let the loader set a larger one",
                )
    return BtfError(
        f"an array of {kind.count} elements is {size} bytes large",
        file=file,
        hint=f"no type of Linux has more than {MAX_SIZE}",
    )


def _by_value(kind: BtfType) -> tuple[int, ...]:
    """The types that have to be laid out before this one."""
    match kind:
        case Struct() | Union():
            return tuple(m.type for m in kind.members)
        case Array():
            return (kind.type, kind.index_type)
        case Var():
            return (kind.type,)
        case _ if isinstance(kind, MODIFIERS):
            return (kind.type,)
    return ()


def _size(kind: BtfType, sizes: list[int | None]) -> int | None:
    match kind:
        case Int() | Float() | Enum() | Enum64() | Struct() | Union() | Datasec():
            return kind.size
        case Ptr():
            return POINTER_SIZE
        case Array():
            element = sizes[kind.type]
            return None if element is None else element * kind.count
        case Var():
            return sizes[kind.type]
        case _ if isinstance(kind, MODIFIERS):
            return sizes[kind.type]
    return None


def _chains(
    types: tuple[BtfType, ...], order: list[int], file: str | None
) -> tuple[list[int], list[tuple[str, ...]]]:
    """What `resolved` and `tags` of Checked are. Known for every type, so that a long chain is
    not walked again from every member that starts at its end."""
    resolved = list(range(len(types)))
    tags: list[tuple[str, ...]] = [()] * len(types)
    for type_id in order:
        kind = types[type_id]
        if isinstance(kind, MODIFIERS):
            resolved[type_id], tags[type_id] = resolved[kind.type], tags[kind.type]
        if isinstance(kind, TypeTag) and not kind.attribute:
            tags[type_id] = (kind.name, *tags[type_id])
            if len(tags[type_id]) > MAX_TAGS:
                raise BtfError(f"type {type_id} has more than {MAX_TAGS} type tags", file=file)
    return resolved, tags


def _aligns(
    types: tuple[BtfType, ...], sizes: list[int | None], order: list[int]
) -> tuple[int | None, ...]:
    aligns: list[int | None] = [None] * len(types)
    for type_id in order:
        kind, size = types[type_id], sizes[type_id]
        match kind:
            case Struct() | Union():
                aligns[type_id] = lay_out(kind, sizes, aligns).align
            case Array() | Var():
                aligns[type_id] = aligns[kind.type]
            case _ if isinstance(kind, MODIFIERS):
                aligns[type_id] = aligns[kind.type]
            case Datasec():
                aligns[type_id] = 1
            case _ if size is not None:
                # The largest power of two in it: a float of 12 bytes stands at multiples of 4.
                aligns[type_id] = min(size & -size, _MAX_ALIGN)
    return tuple(aligns)


def _check_members(
    types: tuple[BtfType, ...],
    sizes: list[int | None],
    resolved: list[int],
    kind: Struct | Union,
    file: str | None,
) -> None:
    before = 0
    bitfields = any(m.bitfield_size for m in kind.members)
    for member in kind.members:
        size, at, width = sizes[member.type], member.bit_offset, member.bitfield_size
        wrong = None
        if size is None:
            wrong = "has a type without a size"
        elif width and not isinstance(types[resolved[member.type]], Int | Enum | Enum64):
            wrong = "is a bitfield, but no integer"
        elif width not in range(size * 8 + 1):
            wrong = f"has {width} of {size * 8} bits"
        elif not width and at % 8:
            wrong = f"starts at bit {at}"
        elif at not in _U32 or at + (width or size * 8) > kind.size * 8:
            wrong = f"ends beyond the {kind.size} bytes of its struct"
        elif at >> 24 and bitfields:
            wrong = f"starts at bit {at}, too far for a struct with bitfields"
        elif isinstance(kind, Union) and at:
            wrong = f"of a union starts at bit {at}"
        elif at < before:
            wrong = f"starts at bit {at}, before the member in front of it"
        if wrong is not None:
            what = f"{type(kind).__name__.lower()} {kind.name or '(anonymous)'}"
            raise BtfError(f"{what}: member {member.name or '(anonymous)'} {wrong}", file=file)
        before = at


def _check_vars(
    types: tuple[BtfType, ...], sizes: list[int | None], kind: Datasec, file: str | None
) -> None:
    for var in kind.vars:
        declared, size = types[var.type], sizes[var.type]
        if not isinstance(declared, Var) or declared.linkage == _EXTERN:
            continue
        what = f"section {kind.name}: variable {declared.name}"
        if size is not None and size > var.size:
            raise BtfError(f"{what} has {var.size} bytes, its type {size}", file=file)
        # The compiler leaves sizes of sections, and offsets in them, to the linker.
        if kind.size and var.offset + var.size > kind.size:
            raise BtfError(f"{what} ends beyond the {kind.size} bytes of the section", file=file)
