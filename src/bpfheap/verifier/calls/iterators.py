"""Open-coded iterators on the stack, and the loops that they drive.

Sources: process_iter_arg, mark_stack_slots_iter, process_iter_next_call and
widen_imprecise_scalars in kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from mypy_extensions import i64

from bpfheap.verifier import hints
from bpfheap.verifier.calls.locks import KEEPING
from bpfheap.verifier.calls.meta import Meta
from bpfheap.verifier.memory.access import deepen
from bpfheap.verifier.memory.dynptrs import overwritten
from bpfheap.verifier.memory.kinds import within_stack
from bpfheap.verifier.memory.ownership import (
    acquire_reference,
    forget_elements,
    release_reference,
)
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.paths.precision import mark_register
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import (
    ALL_ITER,
    DISTRUSTED,
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
    Iterating,
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
    return st.frames[reg.what], reg.off + reg.scalar.smin


def fresh(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """Stack for an iterator, where none is yet."""
    wanted = f"expected uninitialized iter_{meta.iterates.type} as arg #{n - 1}"
    frame, low = _place(env, st, n, reg, wanted)
    within_stack(n, reg, 0, SLOT * meta.slots, "write to")
    first = low >> 3
    there = (frame.stack.get(first + k) for k in range(meta.slots))
    if low & 7 or any(slot is not None and slot.kinds == ALL_ITER for slot in there):
        raise Reject(
            wanted,
            register=n,
            hint="destroy the iterator before it is used anew, and align it to 8 bytes",
        )
    deepen(env, frame.subprog, low)
    overwritten(st, frame, low, low + SLOT * meta.slots, meta.slot)
    meta.iterator = (frame, low >> 3)


def begun(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """An iterator that was set up (is_iter_reg_valid_init)."""
    name = meta.iterates.type
    wanted = f"expected an initialized iter_{name} as arg #{n - 1}"
    frame, low = _place(env, st, n, reg, wanted)
    found = None if low & 7 else _found(frame, low >> 3, meta.slots)
    if found is None or found.type != name:
        raise Reject(
            wanted,
            register=n,
            hint=f"call bpf_iter_{name}_new before, on every path, and write nothing over it",
        )
    if found.standing == DISTRUSTED:
        raise Reject(
            f"expected an RCU CS when using {meta.call.name}",
            register=n,
            hint="use it up before bpf_rcu_read_unlock()",
        )
    meta.iterator = (frame, low >> 3)


def _found(frame: FuncState, first: i64, slots: int) -> Iterating | None:
    """The iterator that begins at a slot and has so many, None if there is none."""
    slot = frame.stack.get(first)
    if slot is None or slot.reg is None or slot.kinds != ALL_ITER:
        return None
    for k in range(1, slots):
        slot_ = frame.stack.get(first + k)
        if slot_ is None or slot_.kinds != ALL_ITER or slot_.reg is not None:
            return None
    found: Iterating = slot.reg.what
    return found


def _at(meta: Meta) -> tuple[FuncState, Reg, int]:
    assert meta.iterator is not None
    frame, at = meta.iterator
    reg = frame.stack[at].reg
    assert reg is not None
    return frame, reg, at


def new(env: Env, st: State, meta: Meta) -> None:
    """What sets it up (mark_stack_slots_iter)."""
    assert meta.iterator is not None
    frame, at = meta.iterator
    ref = acquire_reference(env, st, None, meta.slot)
    for k in range(1, meta.slots):
        frame.stack[at + k] = Slot(None, ALL_ITER)
    frame.stack[at] = Slot(Reg(ITERATOR, ZERO_OFFSET, ref=ref, what=meta.iterates), ALL_ITER)


def destroy(env: Env, st: State, meta: Meta) -> None:
    """What ends it (unmark_stack_slots_iter)."""
    frame, reg, at = _at(meta)
    for k in range(meta.slots):
        del frame.stack[at + k]
    release_reference(st, reg.ref, Gone(meta.slot, meta.call.name, "element", Invalidation.MOVED))


def step(env: Env, st: State, meta: Meta) -> Reg:
    """What takes the next element: one path finds the end, another one more element, as long as
    that can make a difference."""
    frame, reg, at = _at(meta)
    iterator: Iterating = reg.what
    # The elements of others stay until they end: the memory of the task is locked.
    if iterator.type not in KEEPING:
        gone = Gone(meta.slot, meta.call.name, "element", Invalidation.MOVED)
        forget_elements(st, reg.ref, gone)
    if iterator.more:
        iteration = st.copy()
        found = Reg(ITERATOR, ZERO_OFFSET, reg.off + 1, 0, reg.ref, iterator)
        iteration.frames[frame.number].stack[at] = Slot(found, ALL_ITER)
        env.stored.widen(iteration, meta.slot, st.parent)
        if meta.element is None:
            iteration.regs[0] = Reg(MEM, ZERO_OFFSET, ref=reg.ref, what=_ELEMENT)
        else:
            iteration.regs[0] = meta.element
        for n in range(1, 6):
            iteration.regs[n] = NOTHING
        env.fork(iteration, env.cfg.at(meta.slot).next, meta.slot)
    drained = iterator._replace(more=False)
    frame.stack[at] = Slot(Reg(ITERATOR, ZERO_OFFSET, reg.off, 0, reg.ref, drained), ALL_ITER)
    return NULL
