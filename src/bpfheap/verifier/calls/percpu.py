"""Objects that exist once for each CPU.

Sources: the KF_bpf_percpu_obj_new_impl part of check_kfunc_call, and ARG_PTR_TO_PERCPU_BTF_ID,
in kernel/bpf/verifier.c of Linux 6.18; __btf_type_is_scalar_struct.
"""

from __future__ import annotations

from bpfheap.btf import Array, Btf, Enum, Enum64, Int, Struct, Union
from bpfheap.verifier import hints
from bpfheap.verifier.calls.meta import Meta, expected
from bpfheap.verifier.flows import GLOBAL_ALLOCATOR, FlowKind
from bpfheap.verifier.memory.ownership import acquire_object, check_owned
from bpfheap.verifier.memory.variables import whole
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import (
    IN_RCU,
    KERNEL,
    OBJECT,
    PER_CPU,
    READ,
    TRUSTED,
    ZERO_OFFSET,
    KernelObject,
    Object,
    Reg,
    State,
)

#: BPF_GLOBAL_PERCPU_MA_MAX_SIZE.
_MAX_SIZE = 512
#: What Linux takes for a variable of the kernel of which each CPU has one (percpu_btf_ptr_types).
_PER_CPU_FLAGS = frozenset({PER_CPU, PER_CPU | IN_RCU, PER_CPU | TRUSTED})
#: How deep structs may be nested.
_MAX_DEPTH = 3


def made(env: Env, st: State, meta: Meta) -> Reg:
    """What bpf_percpu_obj_new gives. Raises Reject for a type that cannot be had per CPU."""
    layout = meta.layout
    assert layout is not None
    if layout.size > _MAX_SIZE:
        raise Reject(
            f"bpf_percpu_obj_new type size ({layout.size}) is greater than {_MAX_SIZE}",
            register=1,
            hint=f"{layout} may have {_MAX_SIZE} bytes at most",
        )
    if layout.kptrs or layout.special:
        raise Reject(
            "bpf_percpu_obj_new type ID argument must not contain special fields",
            register=1,
            hint=f"take kptrs, locks and nodes out of {layout}",
        )
    if not _scalars(layout.btf, layout.type_id, 0):
        raise Reject(
            "bpf_percpu_obj_new type ID argument must be of a struct of scalars",
            register=1,
            hint=f"take pointers out of {layout}",
        )
    env.flow(FlowKind.ALLOC, GLOBAL_ALLOCATOR, None, meta.slot)
    return acquire_object(env, st, Object(layout, GLOBAL_ALLOCATOR, per_cpu=True), meta.slot)


def _scalars(btf: Btf, type_id: int, depth: int) -> bool:
    kind = btf[type_id]
    if not isinstance(kind, Struct | Union) or depth > _MAX_DEPTH:
        return False
    for member in kind.members:
        inner = btf.resolve(member.type)
        if isinstance(btf[inner], Struct | Union):
            if not _scalars(btf, inner, depth + 1):
                return False
            continue
        found = btf[inner]
        if isinstance(found, Array):
            found = btf[btf.resolve(found.type)]
        if not isinstance(found, Int | Enum | Enum64):
            return False
    return True


def owned(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """One that the program owns."""
    check_owned(env, n, reg, call=meta.call.name, per_cpu=True)
    meta.given, meta.given_register = reg, n


def seen(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """One that stays in a map (percpu_btf_ptr_types)."""
    fits = reg.kind == OBJECT and reg.what.per_cpu and reg.what.standing == READ
    if reg.kind == KERNEL:
        fits = reg.what.flags in _PER_CPU_FLAGS
    if not fits or reg.or_null:
        hint = hints.CHECK_NULL if reg.or_null else "read it from a __percpu_kptr field of a map"
        raise expected(n, reg, "percpu_ptr_, percpu_rcu_ptr_, percpu_trusted_ptr_", hint)
    meta.given, meta.given_register = reg, n


def this_cpu(env: Env, st: State, meta: Meta) -> Reg:
    """This CPU's."""
    assert meta.given is not None
    if meta.given.kind == KERNEL:
        kernel: KernelObject = meta.given.what
        return whole(kernel.type)
    object_: Object = meta.given.what
    return Reg(OBJECT, ZERO_OFFSET, what=object_._replace(per_cpu=False))


def any_cpu(env: Env, st: State, meta: Meta) -> Reg:
    """That of a CPU that may not be."""
    reg = this_cpu(env, st, meta)
    return Reg(reg.kind, ZERO_OFFSET, 0, env.new_id(), 0, reg.what, True)
