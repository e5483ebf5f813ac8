"""Kptr fields that lead to objects of the kernel: what a load of one gives, and what may be stored.

Sources: btf_ld_kptr_type, rcu_safe_kptr, check_map_kptr_access and map_kptr_match_type in
kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from mypy_extensions import i64

from bpfheap.btf import KptrField, KptrKind
from bpfheap.isa import Kind
from bpfheap.platform.kernel_kptrs import OWNED
from bpfheap.verifier import hints
from bpfheap.verifier.memory.obligations import check_unmoved
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.kernel import KernelType
from bpfheap.verifier.state.state import (
    DISTRUSTED,
    IN_RCU,
    KERNEL,
    PER_CPU,
    SLOT_MASK,
    TRUSTED,
    ZERO_OFFSET,
    KernelObject,
    Reg,
    State,
    full_type_name,
    is_null,
)

#: What is known of objects that a field which owns nothing takes.
_STORED = TRUSTED | IN_RCU | DISTRUSTED


def seen(env: Env, st: State, field: KptrField, type_: KernelType) -> Reg:
    """One that was only looked at: the object stays in the field. It stays alive until the section
    ends, if there is one and the kernel keeps such objects for that long."""
    flags = DISTRUSTED
    if env.in_section(st):
        row = OWNED.get(type_.name)
        if field.kind is KptrKind.PERCPU:
            flags = IN_RCU | PER_CPU
        elif field.kind is KptrKind.KPTR and row is not None and row.rcu:
            flags = IN_RCU
    return Reg(KERNEL, ZERO_OFFSET, 0, env.new_id(), 0, KernelObject(type_, flags), True)


def check_stored(env: Env, st: State, field: KptrField, type_: KernelType, value: Reg) -> None:
    """A plain store into a field that owns nothing. Raises Reject."""
    if is_null(value):
        return
    step = env.cfg.at(st.trail.entries[-1] & SLOT_MASK)
    if step.kind is not Kind.STORE_REG:
        raise Reject(
            f"BPF_ST imm must be 0 when storing to kptr at off={field.offset}",
            hint=f"store NULL into {field.path}, or a pointer to {type_} of the kernel",
        )
    n = step.src
    if value.kind != KERNEL or value.what.flags & ~_STORED:
        raise mismatch(n, value, field, type_)
    check_unmoved(n, value, hints.MAIN_POINTER, fixed=True)
    if not value.what.type.holds(value.off, type_):
        raise mismatch(n, value, field, type_)


def mismatch(n: i64, reg: Reg, field: KptrField, type_: KernelType) -> Reject:
    """Of what the field cannot hold."""
    either = f" or untrusted_ptr_{type_.name}" if field.kind is KptrKind.UNTRUSTED else ""
    return Reject(
        f"invalid kptr access, R{n} type={full_type_name(reg)} expected=ptr_{type_.name}{either}",
        register=n,
        hint=f"{field.path} takes a pointer to {type_} of the kernel",
    )
