"""Variables of the kernel (check_pseudo_btf_id in kernel/bpf/verifier.c of Linux 6.18)."""

from __future__ import annotations

from bpfheap.btf import Struct, Union
from bpfheap.errors import BtfError
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.reject import NotKnown, Reject
from bpfheap.verifier.state.kernel import KernelType, Variable
from bpfheap.verifier.state.state import (
    KERNEL,
    MEM,
    PER_CPU,
    UNKNOWN,
    ZERO_OFFSET,
    KernelObject,
    Mem,
    Reg,
)


def variable(env: Env, n: int, name: str) -> Reg:
    """The address of a variable that the program names. Raises Reject, NotKnown without the types
    of a kernel."""
    if env.spec.is_untyped(name):
        return UNKNOWN
    found = _find(env, n, name)
    if found.per_cpu:
        return Reg(KERNEL, ZERO_OFFSET, what=KernelObject(found.type, PER_CPU))
    return whole(found.type)


def whole(kind: KernelType) -> Reg:
    """A variable as an object, or as memory."""
    if isinstance(kind.btf[kind.type_id], Struct | Union):
        return Reg(KERNEL, ZERO_OFFSET, what=KernelObject(kind, 0))
    return Reg(MEM, ZERO_OFFSET, what=Mem(kind.size, readonly=True))


def _find(env: Env, n: int, name: str) -> Variable:
    if env.kernel is None:
        raise NotKnown(
            f"bpfheap does not know {name}, a variable of the kernel, without the kernel's types",
            name,
            register=n,
            hint="give a kernel's BTF with --kernel-btf FILE, or use a global variable of the "
            "program",
        )
    assert env.obj.kernel is not None
    try:
        found = env.kernel.variable(name, env.obj.kernel)
    except BtfError as error:
        raise Reject(error.message, register=n, hint=error.hint) from None
    if found is None:
        raise Reject(
            f"the kernel has no variable {name}",
            register=n,
            hint="declare it `__ksym __weak` and test its address before it is used",
        )
    return found
