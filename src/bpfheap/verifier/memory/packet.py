"""How much of a packet is known to be there.

Sources: try_match_pkt_pointers, find_good_pkt_pointers, mark_pkt_end, is_pkt_ptr_branch_taken and
clear_all_pkt_pointers in kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from bpfheap.verifier.analysis.cfg import Step
from bpfheap.verifier.domain.refine import JGE, JGT, JLE, JLT
from bpfheap.verifier.domain.scalar import UNKNOWN_SCALAR
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.state.state import (
    AT_END,
    BEYOND_END,
    MEM,
    PACKET,
    PACKET_END,
    PACKET_META,
    SCALAR,
    Gone,
    Invalidation,
    Reg,
    State,
)

#: MAX_PACKET_OFF.
_MAX_OFFSET: Final = 0xFFFF

#: The same comparison with its sides exchanged.
_FLIPPED: dict[int, int] = {JGT: JLT, JLT: JGT, JGE: JLE, JLE: JGE}


def packet_end(env: Env, st: State, step: Step, dst: Reg, src: Reg) -> i64:
    """A comparison with data_end; gives the slot to go on with."""
    pointer, code = (src, _FLIPPED.get(step.code, -1)) if dst.kind == PACKET_END else (
        dst, int(step.code)
    )  # fmt: skip
    n = step.src if dst.kind == PACKET_END else step.dst
    if code not in _FLIPPED:
        env.fork(st.copy(), step.target, step.slot)
        return step.next
    known = pointer.what
    if known == BEYOND_END:
        return step.target if code in (JGT, JGE) else step.next
    if known == AT_END and code in (JLT, JGE):
        return step.target if code == JGE else step.next
    taken = st.copy()
    # Either way, one side is within the packet and one is not.
    inside, outside = (taken, st) if code in (JLT, JLE) else (st, taken)
    at_least_one = code in (JLT, JGE)
    _reaches(inside, pointer, at_least_one)
    outside.regs[n] = pointer.of(AT_END if at_least_one else BEYOND_END, 0)
    env.fork(taken, step.target, step.slot)
    return step.next


def packet_start(env: Env, st: State, step: Step, dst: Reg, src: Reg) -> i64:
    """A comparison of a pointer to the metadata with data; gives the slot to go on with."""
    meta, data = (dst, src) if dst.kind == PACKET_META else (src, dst)
    code = int(step.code) if meta is dst else _FLIPPED.get(step.code, -1)
    taken = st.copy()
    untouched = data.id == 0 == data.off and data.scalar.m == 0 == data.scalar.v
    if code in _FLIPPED and untouched:
        inside = taken if code in (JLT, JLE) else st
        _reaches(inside, meta, code in (JLT, JGE))
    env.fork(taken, step.target, step.slot)
    return step.next


def _reaches(st: State, pointer: Reg, one_more: bool) -> None:
    """The packet goes as far as `pointer`, or at least one byte further."""
    if pointer.off < 0 or (pointer.off == 0 and one_more):
        return
    if pointer.scalar.top > _MAX_OFFSET or pointer.scalar.top + pointer.off > _MAX_OFFSET:
        return
    known = pointer.off + (1 if one_more else 0)
    kind, id_ = pointer.kind, pointer.id
    st.rewrite(
        lambda reg: reg.of(max(reg.what, known), 0) if reg.kind == kind and reg.id == id_ else reg
    )


def forget_packet(st: State, slot: int, call: str) -> None:
    """The packet may have moved: its pointers point anywhere."""
    moved = Invalidation.MOVED
    after = Reg(SCALAR, UNKNOWN_SCALAR, what=Gone(slot, call, "packet pointer", moved))
    of_slices = Reg(SCALAR, UNKNOWN_SCALAR, what=Gone(slot, call, "slice", moved))

    def forgotten(reg: Reg) -> Reg:
        if is_slice(reg):
            return of_slices
        return after if reg.kind == PACKET_END or in_packet(reg) else reg

    st.rewrite(forgotten)


def is_slice(reg: Reg) -> bool:
    """Is it a slice of a packet (reg_is_dynptr_slice_pkt)?"""
    return reg.kind == MEM and bool(reg.what.moves)


def in_packet(reg: Reg) -> bool:
    """May it point into the packet? A global function's parameter does if some call says so."""
    return PACKET <= reg.kind <= PACKET_META or (reg.kind == MEM and bool(reg.what.packet))
