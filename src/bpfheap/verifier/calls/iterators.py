"""Open-coded iterators: bpf_iter_num on the stack, and the loops that it drives.

Sources: process_iter_arg, mark_stack_slots_iter, process_iter_next_call and
widen_imprecise_scalars in kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from mypy_extensions import i64

from bpfheap.verifier import hints
from bpfheap.verifier.calls.meta import Meta
from bpfheap.verifier.memory.access import deepen
from bpfheap.verifier.memory.kinds import within_stack
from bpfheap.verifier.memory.ownership import acquire_reference, release_reference
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.paths.precision import mark_register
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import (
    ALL_ITER,
    ITERATOR,
    MEM,
    NOTHING,
    NULL,
    SLOT,
    STACK,
    ZERO_OFFSET,
    FuncState,
    Gone,
    Invalidation,
    Mem,
    Reg,
    Slot,
    State,
)

#: bpf_iter_num_next gives a pointer to an int that the program may only read.
_ELEMENT = Mem(4, readonly=True)


def _place(env: Env, st: State, n: int, reg: Reg, wanted: str) -> tuple[FuncState, i64]:
    """The frame and the offset in its stack that a register points at; `wanted` is what is said if
    there is none. Raises Reject."""
    if reg.kind != STACK:
        raise Reject(
            f"arg#{n - 1} expected pointer to an iterator on stack",
            register=n,
            hint="make the iterator a local variable",
        )
    if reg.scalar.m != 0:
        mark_register(env.cfg, st, n)
        raise Reject(
            wanted,
            detail=f"R{n} has to point at one place on the stack",
            register=n,
            hint=hints.CONST_OFFSET,
        )
    low, _ = within_stack(n, reg, 0, SLOT, "write to")
    return st.frames[reg.what], low


def fresh(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """Stack for an iterator, where none is yet."""
    wanted = f"expected uninitialized iter_num as arg #{n - 1}"
    frame, low = _place(env, st, n, reg, wanted)
    slot = frame.stack.get(low >> 3)
    if low & 7 or (slot is not None and slot.reg is not None and slot.reg.kind == ITERATOR):
        raise Reject(
            wanted,
            register=n,
            hint="destroy the iterator before it is used anew, and align it to 8 bytes",
        )
    deepen(env, frame.subprog, low)
    meta.iterator = (frame, low >> 3)


def begun(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """An iterator that bpf_iter_num_new has set up."""
    wanted = f"expected an initialized iter_num as arg #{n - 1}"
    frame, low = _place(env, st, n, reg, wanted)
    slot = frame.stack.get(low >> 3)
    if low & 7 or slot is None or slot.reg is None or slot.reg.kind != ITERATOR:
        raise Reject(
            wanted,
            register=n,
            hint="call bpf_iter_num_new before, on every path, and write nothing over it",
        )
    meta.iterator = (frame, low >> 3)


def _at(meta: Meta) -> tuple[FuncState, Reg, int]:
    assert meta.iterator is not None
    frame, at = meta.iterator
    reg = frame.stack[at].reg
    assert reg is not None
    return frame, reg, at


def new(env: Env, st: State, meta: Meta) -> None:
    """bpf_iter_num_new(it, start, end)"""
    assert meta.iterator is not None
    frame, at = meta.iterator
    ref = acquire_reference(env, st, None, meta.slot)
    frame.stack[at] = Slot(Reg(ITERATOR, ZERO_OFFSET, ref=ref, what=True), ALL_ITER)


def destroy(env: Env, st: State, meta: Meta) -> None:
    """bpf_iter_num_destroy(it)"""
    frame, reg, at = _at(meta)
    del frame.stack[at]
    release_reference(st, reg.ref, Gone(meta.slot, meta.call.name, "element", Invalidation.MOVED))


def step(env: Env, st: State, meta: Meta) -> Reg:
    """bpf_iter_num_next(it): one path finds the end, another one more element, as long as that
    can make a difference."""
    frame, reg, at = _at(meta)
    if reg.what:
        iteration = st.copy()
        found = Reg(ITERATOR, ZERO_OFFSET, reg.off + 1, 0, reg.ref, True)
        iteration.frames[frame.number].stack[at] = Slot(found, ALL_ITER)
        env.stored.widen(iteration, meta.slot, st.parent)
        iteration.regs[0] = Reg(MEM, ZERO_OFFSET, ref=reg.ref, what=_ELEMENT)
        for n in range(1, 6):
            iteration.regs[n] = NOTHING
        env.fork(iteration, env.cfg.at(meta.slot).next, meta.slot)
    frame.stack[at] = Slot(Reg(ITERATOR, ZERO_OFFSET, reg.off, 0, reg.ref, False), ALL_ITER)
    return NULL
