"""Sections without interrupts: what they were before is in a flag on the stack, with which the
section ends.

Sources: process_irq_flag, mark_stack_slot_irq_flag, unmark_stack_slot_irq_flag and
release_irq_state in kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from mypy_extensions import i64

from bpfheap.platform.calls import Arg
from bpfheap.verifier import hints
from bpfheap.verifier.calls.meta import Meta
from bpfheap.verifier.memory.access import deepen
from bpfheap.verifier.memory.dynptrs import overwritten
from bpfheap.verifier.memory.kinds import within_stack
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.paths.precision import mark_register
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import (
    ALL_IRQ,
    IRQ_FLAG,
    SLOT,
    STACK,
    ZERO_OFFSET,
    FuncState,
    Interrupts,
    Reg,
    Slot,
    State,
)


def _place(env: Env, st: State, n: int, reg: Reg, wanted: str) -> tuple[FuncState, i64]:
    """The frame and the offset in its stack that a register points at; `wanted` is what is said if
    there is none. Raises Reject."""
    if reg.kind != STACK:
        raise Reject(
            f"arg#{n - 1} doesn't point to an irq flag on stack",
            register=n,
            hint="make the flag a local variable of 8 bytes, and pass its address",
        )
    if reg.scalar.m != 0:
        mark_register(env.cfg, st, n)
        raise Reject(
            wanted,
            before="irq_flag has to be at a constant offset",
            register=n,
            hint=hints.CONST_OFFSET,
        )
    low = reg.off + reg.scalar.smin
    if low & 7:
        raise Reject(
            wanted,
            before=f"cannot pass in irq_flag at an offset={low}",
            register=n,
            hint="align it to 8 bytes",
        )
    return st.frames[reg.what], low


def _is_of_lock(meta: Meta) -> bool:
    return meta.args[0] in (Arg.RES_SPIN_LOCK, Arg.RES_SPIN_UNLOCK)


def save(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """Stack that a section begins with, where there is no flag yet. Raises Reject."""
    wanted = f"expected uninitialized irq flag as arg#{n - 1}"
    frame, low = _place(env, st, n, reg, wanted)
    there = frame.stack.get(low >> 3)
    if there is not None and there.kinds == ALL_IRQ:
        raise Reject(
            wanted,
            register=n,
            hint="restore it before it is used anew: each section has a flag of its own",
        )
    within_stack(n, reg, 0, SLOT, "write to")
    deepen(env, frame.subprog, low)
    if st.dynptrs:
        overwritten(st, frame, low, low + SLOT, meta.slot)
    section = Interrupts(env.new_id(), meta.slot)
    st.irqs = (*st.irqs, section)
    flag = Reg(IRQ_FLAG, ZERO_OFFSET, id=section.id, what=_is_of_lock(meta))
    frame.stack[low >> 3] = Slot(flag, ALL_IRQ)


def restore(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """The flag of the section that began last, which ends. Raises Reject."""
    wanted = f"expected an initialized irq flag as arg#{n - 1}"
    frame, low = _place(env, st, n, reg, wanted)
    slot = frame.stack.get(low >> 3)
    if slot is None or slot.reg is None or slot.kinds != ALL_IRQ:
        raise Reject(
            wanted,
            register=n,
            hint="save it before, on every path, and write nothing over it",
        )
    flag = slot.reg
    if bool(flag.what) != _is_of_lock(meta):
        by, with_ = ("lock", "native") if flag.what else ("native", "lock")
        raise Reject(
            f"irq flag acquired by {by} kfuncs cannot be restored with {with_} kfuncs",
            register=n,
            hint="what bpf_res_spin_lock_irqsave saved bpf_res_spin_unlock_irqrestore restores",
        )
    last = st.irqs[-1]
    if flag.id != last.id:
        raise Reject(
            f"cannot restore irq state out of order, expected id={last.id} acquired at "
            f"insn_idx={last.insn}",
            detail=f"the section that began last is the one from {env.place(last.insn)}",
            register=n,
            hint="end sections in the opposite order",
        )
    st.irqs = st.irqs[:-1]
    del frame.stack[low >> 3]
