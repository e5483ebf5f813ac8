"""Objects of the kernel that calls take and give.

Sources: check_reg_type, check_func_arg_reg_off and the results of check_helper_call in
kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from bpfheap.verifier import hints
from bpfheap.verifier.analysis.attach import no_types
from bpfheap.verifier.calls.meta import Meta, expected
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.reject import NotKnown, Reject
from bpfheap.verifier.state.kernel import KernelType
from bpfheap.verifier.state.state import (
    IN_RCU,
    KERNEL,
    TRUSTED,
    ZERO_OFFSET,
    KernelObject,
    Reg,
    State,
    type_name,
)

#: btf_ptr_types
_TAKEN = frozenset({0, TRUSTED, IN_RCU})


def _struct(env: Env, name: str, call: str) -> KernelType:
    """A struct of the kernel that the program is for. Raises NotKnown."""
    if env.kernel is None:
        raise no_types()
    found = env.kernel.named(name)
    if found is None:
        raise NotKnown(f"the kernel has no struct {name}, which {call} is about", f"struct {name}")
    return found


def given(env: Env, st: State, n: int, reg: Reg, meta: Meta, or_null: bool = False) -> None:
    """An argument: an object of the struct that the row says. Raises Reject."""
    call = meta.call
    if reg.kind != KERNEL or reg.what.flags not in _TAKEN or (reg.or_null and not or_null):
        raise expected(
            n, reg, "ptr_, trusted_ptr_, rcu_ptr_",
            hints.CHECK_NULL if reg.or_null else f"pass a pointer to a struct {call.takes}",
        )  # fmt: skip
    wanted = _struct(env, call.takes, call.name)
    if not reg.scalar.is_const or reg.scalar.v:
        raise Reject(
            f"variable {type_name(reg)} access disallowed: R{n}",
            register=n,
            hint=hints.CONST_OFFSET,
        )
    if reg.off < 0:
        raise Reject(
            f"negative offset {type_name(reg)} ptr R{n} off={reg.off} disallowed",
            register=n,
            hint=hints.MAIN_POINTER,
        )
    object_: KernelObject = reg.what
    if not object_.type.holds(reg.off, wanted):
        raise Reject(
            f"R{n} is of type {object_.type.name} but {wanted.name} is expected",
            register=n,
            hint=f"{call.name} takes a pointer to a struct {wanted.name}",
        )


def _result(env: Env, meta: Meta, flags: int) -> Reg:
    type_ = _struct(env, meta.call.gives, meta.call.name)
    return Reg(KERNEL, ZERO_OFFSET, what=KernelObject(type_, flags))


def found(env: Env, st: State, meta: Meta) -> Reg:
    """One that was found by walking."""
    return _result(env, meta, 0)


def trusted(env: Env, st: State, meta: Meta) -> Reg:
    """One that stays as long as the program runs."""
    return _result(env, meta, TRUSTED)


def found_or_null(env: Env, st: State, meta: Meta) -> Reg:
    """One that may not be there."""
    reg = _result(env, meta, 0)
    return Reg(KERNEL, ZERO_OFFSET, 0, env.new_id(), 0, reg.what, True)
