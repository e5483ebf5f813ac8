"""Conditional jumps: which way, and what each way says (check_cond_jmp_op)."""

from __future__ import annotations

from bpfheap.verifier.access import readable
from bpfheap.verifier.env import Env
from bpfheap.verifier.ownership import settle_null
from bpfheap.verifier.program import Step
from bpfheap.verifier.refine import branch
from bpfheap.verifier.scalar import Scalar
from bpfheap.verifier.state import SCALAR, UNINIT, Reg, RegKind, State, is_null, linked


def jump(env: Env, st: State, step: Step) -> int:
    """The slot to go on with; the other way, if it is possible too, is left for later.
    Raises Reject for an operand without a value."""
    regs = st.regs
    dst = regs[step.dst]
    if dst.kind is UNINIT:
        readable(env, st, step.dst)
    if step.op.reg:
        src = regs[step.src]
        if src.kind is UNINIT:
            readable(env, st, step.src)
    else:
        src = step.operand
    if dst.kind is not SCALAR or src.kind is not SCALAR:
        return _pointers(env, st, step, dst, src)
    taken, not_taken = branch(step.name, step.width, dst.scalar, src.scalar)
    if taken is None:
        if not_taken is not None:
            _learn(st, step, dst, src, *not_taken)
        return step.next
    if not_taken is None:
        _learn(st, step, dst, src, *taken)
        return step.target
    other = st.copy()
    _learn(other, step, dst, src, *taken)
    env.fork(other, step.target, step.slot)
    _learn(st, step, dst, src, *not_taken)
    return step.next


def _learn(st: State, step: Step, dst: Reg, src: Reg, new_dst: Scalar, new_src: Scalar) -> None:
    if new_dst is not dst.scalar:
        _set(st, step.dst, dst, new_dst)
    if step.op.reg and new_src is not src.scalar:
        _set(st, step.src, src, new_src)


def _set(st: State, n: int, reg: Reg, scalar: Scalar) -> None:
    """What holds for a scalar holds for all its copies (sync_linked_regs)."""
    if not reg.id:
        st.regs[n] = linked(scalar, reg)
        return
    id_ = reg.id

    def learn(other: Reg) -> Reg:
        return linked(scalar, other) if other.kind is SCALAR and other.id == id_ else other

    st.rewrite(learn)


def _pointers(env: Env, st: State, step: Step, dst: Reg, src: Reg) -> int:
    equality = step.name in ("jeq", "jne")
    pointer = src if dst.kind is SCALAR else dst
    other = dst if pointer is src else src
    if equality and is_null(other):
        if not pointer.or_null:
            # A 32-bit comparison sees half of the address, which may well be 0.
            if step.width == 64:
                return step.target if step.name == "jne" else step.next
        elif step.width == 64:
            return _null_check(env, st, step, pointer, null_known=True)
        else:
            return _null_check(env, st, step, pointer, null_known=False)
    elif equality and step.width == 64 and _tells_non_null(dst, src):
        unsure = dst if dst.or_null else src
        equal = st.copy()
        settle_null(equal, unsure, null=False)
        if step.name == "jeq":
            env.fork(equal, step.target, step.slot)
            return step.next
        env.fork(st.copy(), step.target, step.slot)
        st.frames, st.regs, st.refs = equal.frames, equal.regs, equal.refs
        return step.next
    env.fork(st.copy(), step.target, step.slot)
    return step.next


def _tells_non_null(dst: Reg, src: Reg) -> bool:
    """Does it follow from their equality that the one that may be NULL is not?"""
    return (
        dst.kind is not SCALAR
        and src.kind is not SCALAR
        and dst.or_null != src.or_null
        and RegKind.OBJECT not in (dst.kind, src.kind)
    )


def _null_check(env: Env, st: State, step: Step, pointer: Reg, *, null_known: bool) -> int:
    """Both ways of a comparison with 0 (mark_ptr_or_null_regs). The half that a 32-bit comparison
    sees may be 0 in an address: only its being other than 0 says something."""
    other = st.copy()
    null, sure = (other, st) if step.name == "jeq" else (st, other)
    if null_known:
        settle_null(null, pointer, null=True)
    settle_null(sure, pointer, null=False)
    env.fork(other, step.target, step.slot)
    return step.next
