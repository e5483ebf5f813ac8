"""What a global function declares: types and tags of its parameters.

Source: btf_prepare_func_args in kernel/bpf/btf.c of Linux 6.18.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from bpfheap.btf import Enum as BtfEnum
from bpfheap.btf import Enum64, Func, FuncProto, Int, Ptr, Struct
from bpfheap.errors import BtfError
from bpfheap.spec import ProgramSpec, SubprogSpec
from bpfheap.verifier.reject import NotKnown, Reject

#: As many arguments as there are registers for them.
_MAX_PARAMETERS = 5
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


def parameters(spec: ProgramSpec, sub: SubprogSpec, ctx_struct: str) -> tuple[Parameter, ...]:
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
            target = btf[btf.resolve(kind.type)]
            if _CTX_TAG in tags or (isinstance(target, Struct) and target.name == ctx_struct):
                found.append(Parameter(Passing.CTX))
                continue
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
