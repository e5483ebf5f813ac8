"""Dynptrs on the stack: where they are, and what becomes of them when something is written there.

Sources: mark_stack_slots_dynptr, unmark_stack_slots_dynptr, destroy_if_dynptr_stack_slot and
release_reference in kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from mypy_extensions import i64

from bpfheap.verifier.domain.scalar import UNKNOWN_SCALAR
from bpfheap.verifier.memory import stack
from bpfheap.verifier.memory.ownership import release_reference
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import (
    ALL_DYNPTR,
    ALL_IRQ,
    ALL_ITER,
    DYNPTR,
    MEM,
    SCALAR,
    ZERO_OFFSET,
    Dynptr,
    FuncState,
    Gone,
    Invalidation,
    Reg,
    Slot,
    State,
)


def dynptr_at(frame: FuncState, at: i64) -> Reg | None:
    """The dynptr whose first slot is `at`, None if there is none. Both slots are there, or none."""
    slot = frame.stack.get(at)
    if slot is None or slot.kinds != ALL_DYNPTR or slot.reg is None or not slot.reg.what.first:
        return None
    return slot.reg


def put(st: State, frame: FuncState, at: i64, what: Dynptr, id_: i64, ref: i64) -> None:
    """A dynptr is set up there."""
    st.dynptrs = True
    for k, first in enumerate((True, False)):
        reg = Reg(DYNPTR, ZERO_OFFSET, 0, id_, ref, what._replace(first=first))
        frame.stack[at + k] = Slot(reg, ALL_DYNPTR)


def overwritten(st: State, frame: FuncState, low: i64, end: i64, insn: int) -> None:
    """Something is written from offset `low` on: dynptrs that are hit are none any more, and their
    slices are gone. Raises Reject for one that stands for what has to be given away."""
    at: i64 = low >> 3
    while at <= (end - 1) >> 3:
        slot = frame.stack.get(at)
        if slot is not None and slot.kinds == ALL_DYNPTR and slot.reg is not None:
            _destroy(st, frame, at if slot.reg.what.first else at - 1, slot.reg, insn)
        at += 1


def _destroy(st: State, frame: FuncState, first: i64, reg: Reg, insn: int) -> None:
    if reg.what.kind.owned:
        raise Reject(
            "cannot overwrite referenced dynptr",
            detail=f"it stands at fp{first * 8}",
            hint="submit or discard it first, or use another variable",
        )
    del frame.stack[first]
    del frame.stack[first + 1]
    gone = Gone(insn, "a store over the dynptr", "slice", Invalidation.MOVED)
    after = Reg(SCALAR, UNKNOWN_SCALAR, what=gone)
    id_ = reg.id
    st.rewrite(lambda reg: after if reg.kind == MEM and reg.what.dynptr == id_ else reg)


def release(st: State, ref: int, gone: Gone) -> None:
    """What a dynptr stands for is given away: copies of it and slices are gone, in all functions.
    (Linux looks for copies in one of them.)"""
    for frame in st.frames:
        for at, slot in list(frame.stack.items()):
            if slot.kinds == ALL_DYNPTR and slot.reg is not None and slot.reg.ref == ref:
                del frame.stack[at]
    release_reference(st, ref, gone)


#: What the kernel keeps on the stack, by the kinds of its bytes.
_KEPT = {ALL_ITER: "iterator", ALL_DYNPTR: "dynptr", ALL_IRQ: "flag for interrupts"}


def written_through(st: State, reg: Reg, n: i64) -> None:
    """A slice is written, which may be a copy on the stack: nothing is known there any more.
    Raises Reject where something of the kernel is. (Linux takes slices for memory of their own.)"""
    for number, low, end in reg.what.buffers:
        frame = st.frames[number]
        for at in range(low >> 3, ((end - 1) >> 3) + 1):
            slot = frame.stack.get(at)
            if slot is not None and slot.kinds in (ALL_ITER, ALL_DYNPTR, ALL_IRQ):
                raise Reject(
                    f"potential write to {_KEPT[slot.kinds]} at off={max(at * 8, low)} disallowed",
                    detail=f"the slice in R{n} may be a copy in the buffer that was there",
                    register=int(n),
                    hint="keep the buffer as long as the slice is used",
                )
        stack.clobber(frame, low, end)
