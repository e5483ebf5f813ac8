"""What a global function declares: types and tags of its parameters.

Source: btf_prepare_func_args in kernel/bpf/btf.c of Linux 6.18.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from bpfheap.btf import (
    Btf,
    Const,
    Enum64,
    Func,
    FuncProto,
    Int,
    Ptr,
    Restrict,
    Struct,
    Typedef,
    TypeTag,
    Union,
    Volatile,
)
from bpfheap.btf import Enum as BtfEnum
from bpfheap.errors import BtfError
from bpfheap.platform.programs import ANY_TYPE, NUMBER, ProgramType
from bpfheap.spec import ProgramSpec, SubprogSpec
from bpfheap.verifier.reject import NotKnown, Reject

#: As many arguments as there are registers for them.
_MAX_PARAMETERS = 5
_U64 = 8
_CTX_TAG, _NONNULL_TAG = "arg:ctx", "arg:nonnull"
#: Those of Linux that bpfheap does not know.
_OTHER_TAGS = frozenset({"arg:trusted", "arg:untrusted", "arg:nullable", "arg:arena"})
#: Pointers to it are no plain memory.
_DYNPTR = "bpf_dynptr"


class Passing(Enum):
    """How a parameter is passed (enum bpf_arg_type)."""

    NUMBER = "number"
    CTX = "ctx"
    MEMORY = "memory"


class Parameter(NamedTuple):
    """What a global function may be given.

    `passing`: what kind of thing it is.
    `size`: of what the pointer points at, in bytes.
    `or_null`: may it be NULL, so that the function has to check?
    """

    passing: Passing
    size: int = 0
    or_null: bool = False


def parameters(spec: ProgramSpec, sub: SubprogSpec, row: ProgramType) -> tuple[Parameter, ...]:
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
        tags = [t for t in btf.decl_tags(sub.func_id, i) if t.startswith("arg:")]
        where = f"arg#{i} of {sub.name}()"
        unknown = [t for t in tags if t not in (_CTX_TAG, _NONNULL_TAG)]
        if unknown and _OTHER_TAGS.issuperset(unknown):
            raise NotKnown(f"bpfheap does not know tag {unknown[0]}, which {where} has", unknown[0])
        if unknown:
            raise Reject(f"{where} is tagged {unknown[0]}, which is not supported")
        if isinstance(kind, Int | BtfEnum | Enum64) and not tags:
            found.append(Parameter(Passing.NUMBER))
        elif not isinstance(kind, Ptr):
            raise Reject(
                f"{where} of type {btf.c_name(parameter.type)} is not supported",
                hint="pass numbers, the context, or pointers to structs",
            )
        else:
            if _CTX_TAG in tags or _is_ctx(btf, kind.type, row):
                if set(tags) - {_CTX_TAG}:
                    raise Reject(
                        f"{where} has invalid combination of tags", hint="the context is never NULL"
                    )
                if tags and not _may_be_ctx(btf, kind.type, row):
                    raise Reject(
                        f"{where} of type {btf.c_name(parameter.type)} cannot be the context of "
                        f"{row.name} programs",
                        hint=f"make it a {row.ctx_pointer}",
                    )
                found.append(Parameter(Passing.CTX))
                continue
            target = btf[btf.resolve(kind.type)]
            if isinstance(target, Struct) and target.name == _DYNPTR:
                raise NotKnown(f"bpfheap does not know dynptrs, and {where} is one", _DYNPTR)
            try:
                size = btf.size_of(btf.resolve(kind.type))
            except BtfError:
                size = 0
            if not size:
                raise Reject(
                    f"{where}: the size of {btf.c_name(kind.type)} cannot be determined",
                    hint="point at a struct that is defined, or make the function static",
                )
            found.append(Parameter(Passing.MEMORY, size, _NONNULL_TAG not in tags))
    return tuple(found)


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
