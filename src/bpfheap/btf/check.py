"""The rules that a table of types has to keep (kernel: btf_check_all_types and the *_check_meta
and *_resolve functions), checked once, without recursion, so that nobody has to check again."""

from __future__ import annotations

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
    Int,
    Ptr,
    Struct,
    Union,
    Var,
    Void,
)
from bpfheap.errors import BtfError

POINTER_SIZE = 8
#: No object of a BPF program is larger; keeps wild arrays from costing memory later.
MAX_SIZE = 1 << 32


def check(types: tuple[BtfType, ...], file: str | None) -> tuple[int | None, ...]:
    """The size in bytes of each type, None for those that have none. Raises BtfError."""
    if not types or not isinstance(types[0], Void):
        raise BtfError("type 0 is not void", file=file)
    for type_id, kind in enumerate(types):
        for ref in references(kind):
            if not 0 <= ref < len(types):
                raise BtfError(
                    f"type {type_id} refers to type {ref}, but there are only {len(types)}",
                    file=file,
                    hint="BTF split off a base BTF is not taken from users",
                )
        _check_kinds(types, type_id, kind, file)
    sizes = _sizes(types, file)
    for type_id, kind in enumerate(types):
        if isinstance(kind, Struct | Union):
            _check_members(types, sizes, type_id, kind, file)
    return sizes


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


def _sizes(types: tuple[BtfType, ...], file: str | None) -> tuple[int | None, ...]:
    """Depth first over references by value, with a stack of our own; a cycle is an error."""
    new, open_, done = 0, 1, 2
    state = [new] * len(types)
    sizes: list[int | None] = [None] * len(types)
    for root in range(len(types)):
        stack = [root]
        while stack:
            type_id = stack[-1]
            kind = types[type_id]
            if state[type_id] == done:
                stack.pop()
                continue
            needs = _by_value(kind)
            if state[type_id] == new:
                state[type_id] = open_
                for ref in needs:
                    if state[ref] == open_:
                        raise BtfError(
                            f"type {ref} contains itself by way of type {type_id}", file=file
                        )
                    if state[ref] == new:
                        stack.append(ref)
                continue
            state[type_id] = done
            stack.pop()
            size = _size(kind, sizes)
            if size is not None and size > MAX_SIZE:
                raise BtfError(f"type {type_id} is {size} bytes large", file=file)
            sizes[type_id] = size
    return tuple(sizes)


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


def _check_members(
    types: tuple[BtfType, ...],
    sizes: tuple[int | None, ...],
    type_id: int,
    kind: Struct | Union,
    file: str | None,
) -> None:
    for member in kind.members:
        size = sizes[member.type]
        what = f"{type(kind).__name__.lower()} {kind.name or '(anonymous)'}: member {member.name}"
        if size is None:
            raise BtfError(f"{what} has a type without a size", file=file)
        if not member.bitfield_size and member.bit_offset % 8:
            raise BtfError(f"{what} starts at bit {member.bit_offset}", file=file)
        bits = member.bitfield_size or size * 8
        if member.bit_offset + bits > kind.size * 8:
            raise BtfError(f"{what} ends beyond the {kind.size} bytes of its struct", file=file)
