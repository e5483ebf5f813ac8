"""Objects of the kernel that calls take and give; sockets are in sockets.py.

Sources: check_reg_type, check_func_arg_reg_off and the results of check_helper_call in
kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from bpfheap.btf import KptrKind
from bpfheap.verifier import hints
from bpfheap.verifier.calls.meta import Meta, check_there, expected
from bpfheap.verifier.memory.kernel_kptrs import mismatch
from bpfheap.verifier.memory.obligations import OBJECT_TYPES, check_unmoved
from bpfheap.verifier.memory.ownership import release_reference
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.kernel import KernelType
from bpfheap.verifier.state.state import (
    GIVEN,
    IN_RCU,
    KERNEL,
    TRUSTED,
    ZERO_OFFSET,
    Gone,
    KernelObject,
    Reg,
    State,
    full_type_name,
    is_walked,
)

#: btf_ptr_types
TAKEN = frozenset({0, TRUSTED, IN_RCU})


def given(env: Env, st: State, n: int, reg: Reg, meta: Meta, or_null: bool = False) -> None:
    """An argument: an object of the struct that the row says. Raises Reject."""
    takes = meta.call.takes
    check_taken(n, reg, f"pass a pointer to a struct {takes}", or_null=or_null)
    of_struct(env, n, reg, meta, takes)
    # All that take NULL look for it.
    if not or_null:
        check_there(n, reg, meta)


def of_struct(env: Env, n: int, reg: Reg, meta: Meta, name: str) -> None:
    """The object is of that struct, or begins with one. Raises Reject."""
    call = meta.call
    wanted = env.struct(name, call.name)
    check_struct(n, reg, wanted, f"{call.name} takes a pointer to a struct {wanted.name}")


def check_taken(n: int, reg: Reg, hint: str, *, or_null: bool) -> None:
    """The register holds an object of the kernel that calls take. Raises Reject."""
    if reg.kind != KERNEL or reg.what.flags not in TAKEN or (reg.or_null and not or_null):
        raise expected(n, reg, OBJECT_TYPES, hints.CHECK_NULL if reg.or_null else hint)


def check_struct(n: int, reg: Reg, wanted: KernelType, hint: str) -> None:
    """An object of the kernel is that struct, or begins with one. Raises Reject."""
    object_: KernelObject = reg.what
    if not object_.type.holds(reg.off, wanted):
        raise Reject(
            f"R{n} is of type {object_.type.name} but {wanted.name} is expected",
            register=n,
            hint=hint,
        )
    check_place(n, reg, fixed=True)


def check_place(n: int, reg: Reg, *, fixed: bool) -> None:
    """check_unmoved, with what to change in a pointer to an object. Raises Reject."""
    hint = hints.MAIN_POINTER if reg.scalar.is_const else hints.CONST_OFFSET
    check_unmoved(n, reg, hint, fixed=fixed)


def exchanged(n: int, reg: Reg, meta: Meta) -> None:
    """An argument that goes into a kptr field: an object of the kernel, which the program has a
    reference to. Raises Reject."""
    kptr = meta.kptr
    assert kptr is not None
    if reg.what.flags not in TAKEN:
        raise expected(n, reg, OBJECT_TYPES, hints.VALID)
    if reg.or_null:
        raise Reject(
            f"Possibly NULL pointer passed to helper arg{n}", register=n, hint=hints.CHECK_NULL
        )
    check_unmoved(n, reg, hints.MAIN_POINTER, fixed=True)
    type_ = kptr.layout.kernel.get(kptr.field.offset)
    if type_ is None:
        name = kptr.target
        raise Reject(
            f"invalid kptr access, R{n} type={full_type_name(reg)} expected=ptr_{name}",
            register=n,
            hint=f"{kptr.name} takes a struct {name} of the program's own",
        )
    if reg.off or reg.what.type is not type_:
        raise mismatch(n, reg, kptr.field, type_)
    if not reg.ref:
        raise Reject(
            f"R{n} must be referenced when passed to release function",
            register=n,
            hint="acquire a reference first, which the field then has",
        )
    if kptr.field.kind is KptrKind.PERCPU:
        # Linux accepts it, and looks for a destructor that it never asked for
        # (bpf_obj_free_fields).
        raise Reject(
            f"{kptr.name} is tagged __percpu_kptr, and {type_} of the kernel is no per-CPU object",
            register=n,
            hint="tag the field __kptr",
        )


def release(env: Env, st: State, meta: Meta) -> None:
    """The program has no reference any more."""
    assert meta.given is not None
    gone = Gone(meta.slot, meta.call.name, str(meta.given.what).removesuffix(" of the kernel"))
    release_reference(st, meta.given.ref, gone)


def found(env: Env, st: State, meta: Meta) -> Reg:
    """One that is there, as surely as that from which it was found."""
    type_ = env.struct(meta.call.gives, meta.call.name)
    source = st.regs[1]
    walked = source.kind == KERNEL and is_walked(source)
    return Reg(KERNEL, ZERO_OFFSET, what=KernelObject(type_, 0, 0 if walked else GIVEN))


def trusted(env: Env, st: State, meta: Meta) -> Reg:
    """One that stays as long as the program runs."""
    type_ = env.struct(meta.call.gives, meta.call.name)
    return Reg(KERNEL, ZERO_OFFSET, what=KernelObject(type_, TRUSTED))


def found_or_null(env: Env, st: State, meta: Meta) -> Reg:
    """The same, or NULL."""
    reg = found(env, st, meta)
    return Reg(KERNEL, ZERO_OFFSET, 0, env.new_id(), 0, reg.what, True)
