"""What a global function declares: types and tags of its parameters.

Source: btf_prepare_func_args in kernel/bpf/btf.c of Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from bpfheap.btf import (
    Btf,
    BtfType,
    Const,
    Enum64,
    Func,
    FuncProto,
    Int,
    Param,
    Ptr,
    Restrict,
    Struct,
    Typedef,
    TypeTag,
    Union,
    Void,
    Volatile,
)
from bpfheap.btf import Enum as BtfEnum
from bpfheap.errors import BtfError
from bpfheap.platform.programs import ANY_TYPE, NUMBER, ProgramType
from bpfheap.spec import ProgramSpec, SubprogSpec
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.kernel import KernelType, kind_name

#: As many arguments as there are registers for them.
_MAX_PARAMETERS = 5
_U64 = 8
_CTX, _NONNULL, _NULLABLE = "arg:ctx", "arg:nonnull", "arg:nullable"
_TRUSTED, _UNTRUSTED, _ARENA = "arg:trusted", "arg:untrusted", "arg:arena"
_TAGS = frozenset({_CTX, _NONNULL, _NULLABLE, _TRUSTED, _UNTRUSTED, _ARENA})
#: Pointers to it are no plain memory.
_DYNPTR = "bpf_dynptr"


class Passing(Enum):
    """How a parameter is passed (enum bpf_arg_type)."""

    NUMBER = "number"
    CTX = "ctx"
    MEMORY = "memory"
    TRUSTED = "trusted"  # an object of the kernel
    ARENA = "arena"  # a pointer into the arena, or a number
    DYNPTR = "dynptr"  # of any kind, and set up
    UNTRUSTED = "untrusted"  # anything: the function reads it as if nothing might be there


class Parameter(NamedTuple):
    """What a global function may be given.

    `passing`: what kind of thing it is.
    `size`: of what the pointer points at, in bytes.
    `or_null`: may it be NULL, so that the function has to check?
    `type`: the struct of the kernel that it points at, None for plain memory.
    """

    passing: Passing
    size: int = 0
    or_null: bool = False
    type: KernelType | None = None


#: The type of the kernel that a parameter points at, by its place and what the program says of the
#: type. Raises Reject if there is none.
OfKernel = Callable[[int, BtfType], KernelType]


def parameters(
    spec: ProgramSpec, sub: SubprogSpec, row: ProgramType, of_kernel: OfKernel
) -> tuple[Parameter, ...]:
    """What a global function declares. Raises Reject for what no global function can have."""
    btf = spec.btf
    func = btf[sub.func_id]
    assert isinstance(func, Func)
    proto = btf[func.type]
    assert isinstance(proto, FuncProto)
    if not isinstance(btf[btf.resolve(proto.ret)], Int | BtfEnum | Enum64):
        raise Reject(
            f"Global function {sub.name}() doesn't return scalar. Only those are supported.",
            hint="return a number, or make the function static",
        )
    if len(proto.params) > _MAX_PARAMETERS:
        raise Reject(
            f"Global function {sub.name}() with {len(proto.params)} > {_MAX_PARAMETERS} args.",
            hint="pass a pointer to a struct",
        )
    found = []
    for i, parameter in enumerate(proto.params):
        kind = btf[btf.resolve(parameter.type)]
        tags = frozenset(t for t in btf.decl_tags(sub.func_id, i) if t.startswith("arg:"))
        where = f"arg#{i} of {sub.name}()"
        if not tags <= _TAGS:
            raise Reject(
                f"arg#{i} has unsupported set of tags",
                hint=f"Linux does not know {min(tags - _TAGS)}, which {where} has",
            )
        if isinstance(kind, Ptr):
            found.append(_pointer(btf, i, parameter, kind, tags, row, where, of_kernel))
        elif tags:
            raise Reject(
                f"arg#{i} has pointer tag, but is not a pointer type",
                hint=f"leave out {min(tags)} in {sub.name}()",
            )
        elif isinstance(kind, Int | BtfEnum | Enum64):
            found.append(Parameter(Passing.NUMBER))
        else:
            raise Reject(
                f"{where} of type {btf.c_name(parameter.type)} is not supported",
                hint="pass numbers, the context, or pointers to structs",
            )
    return tuple(found)


def _pointer(
    btf: Btf, i: int, parameter: Param, kind: Ptr, tags: frozenset[str], row: ProgramType,
    where: str, of_kernel: OfKernel,
) -> Parameter:  # fmt: skip
    """What parameter `i` may be given, which is a pointer. Raises Reject."""
    wrong = Reject(
        f"arg#{i} has invalid combination of tags",
        hint=f"{where} has {', '.join(sorted(tags))}: leave out one",
    )
    if _CTX in tags or _is_ctx(btf, kind.type, row):
        if tags - {_CTX}:
            wrong.hint = f"{where} is the context, which has no other tags"
            raise wrong
        if tags and not _may_be_ctx(btf, kind.type, row):
            raise Reject(
                f"{where} of type {btf.c_name(parameter.type)} cannot be the context of "
                f"{row.name} programs",
                hint=f"make it a {row.ctx_pointer}",
            )
        return Parameter(Passing.CTX)
    target = btf[btf.resolve(kind.type)]
    if isinstance(target, Struct) and target.name == _DYNPTR:
        if tags:
            raise wrong
        return Parameter(Passing.DYNPTR)
    if _TRUSTED in tags:
        if _NONNULL in tags:
            wrong.hint = "what is trusted is not NULL, unless it is tagged __arg_nullable, too"
            raise wrong
        return Parameter(Passing.TRUSTED, 0, _NULLABLE in tags, of_kernel(i, target))
    for alone in (_UNTRUSTED, _ARENA):
        if alone in tags and len(tags) > 1:
            name = alone.removeprefix("arg:")
            raise Reject(f"arg#{i} {name} cannot be combined with any other tags", hint=wrong.hint)
    if _UNTRUSTED in tags:
        if isinstance(target, Void | Int | BtfEnum | Enum64):
            return Parameter(Passing.UNTRUSTED)
        type_ = of_kernel(i, target)
        if not isinstance(target, Struct | Union):
            raise Reject(
                f"arg#{i} has type {kind_name(target)} '(anon)', but only struct or primitive "
                "types are allowed",
                hint="point at a struct of the kernel",
            )
        return Parameter(Passing.UNTRUSTED, type=type_)
    if _ARENA in tags:
        return Parameter(Passing.ARENA)
    if _NULLABLE in tags:
        wrong.hint = f"{where} may be NULL without a tag, as long as it is not trusted"
        raise wrong
    try:
        size = btf.size_of(btf.resolve(kind.type))
    except BtfError:
        size = 0
    if not size:
        raise Reject(
            f"{where}: the size of {btf.c_name(kind.type)} cannot be determined",
            hint="point at a struct that is defined, or make the function static",
        )
    return Parameter(Passing.MEMORY, size, _NONNULL not in tags)


def _is_ctx(btf: Btf, target: int, row: ProgramType) -> bool:
    """Is a pointer to that type the context, without a tag (btf_is_prog_ctx_type)?"""
    if row.ctx_typedef and _typedef(btf, target) == row.ctx_typedef:
        return True
    kind = btf[btf.resolve(target)]
    return isinstance(kind, Struct | Union) and kind.name in row.ctx_names


def _may_be_ctx(btf: Btf, target: int, row: ProgramType) -> bool:
    """May a pointer to that type be tagged as the context (btf_validate_prog_ctx_type)?"""
    if row.ctx_tagged & {_typedef(btf, target)} - {""}:
        return True
    resolved = btf.resolve(target)
    if not resolved:
        return True
    kind = btf[resolved]
    if not getattr(kind, "name", ""):
        return False
    if ANY_TYPE in row.ctx_tagged:
        return True
    if isinstance(kind, Int):
        return kind.size == _U64 and NUMBER in row.ctx_tagged
    names = row.ctx_tagged | {row.ctx_struct}
    return isinstance(kind, Struct) and kind.name in names


def _typedef(btf: Btf, target: int) -> str:
    """The name of the first typedef, "" if there is none."""
    kind = btf[target] if target else None
    while isinstance(kind, Const | Volatile | Restrict | TypeTag):
        kind = btf[kind.type] if kind.type else None
    return kind.name if isinstance(kind, Typedef) else ""


def returns_number(spec: ProgramSpec, sub: SubprogSpec) -> bool:
    """Does a function say that it returns a number?"""
    func = spec.btf[sub.func_id]
    proto = spec.btf[func.type] if isinstance(func, Func) else None
    if not isinstance(proto, FuncProto):
        return False
    return isinstance(spec.btf[spec.btf.resolve(proto.ret)], Int | BtfEnum | Enum64)
