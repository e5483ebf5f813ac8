"""Conditional jumps: which way, and what each way says (check_cond_jmp_op)."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from bpfheap.verifier.analysis.cfg import Step
from bpfheap.verifier.analysis.liveness import FIRST_SLOT
from bpfheap.verifier.domain.arith import ADD, alu
from bpfheap.verifier.domain.refine import ALWAYS, DEPENDS, JEQ, JNE, Pair, branch_taken, holds
from bpfheap.verifier.domain.scalar import Scalar, const
from bpfheap.verifier.domain.word import shl
from bpfheap.verifier.memory.obligations import is_near, readable
from bpfheap.verifier.memory.ownership import mark_null
from bpfheap.verifier.memory.packet import packet_end, packet_start
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.paths.precision import mark_register
from bpfheap.verifier.state.state import (
    BORROWED,
    KERNEL,
    MAP,
    MAP_KEY,
    MAP_VALUE,
    MEM,
    OBJECT,
    PACKET,
    PACKET_END,
    PACKET_META,
    SCALAR,
    SOCKET,
    UNINIT,
    Link,
    Reg,
    State,
    is_null,
    is_trusted,
    linked,
    number,
)

_NEVER_NULL = frozenset({MAP, MAP_VALUE, MAP_KEY})
#: Objects, of the program and of the kernel (PTR_TO_BTF_ID).
_TYPED = frozenset({OBJECT, KERNEL})
#: LINKED_REGS_MAX: as many scalars learn from one condition.
_MAX_LINKS = 6
_REGISTERS: Final = (1 << FIRST_SLOT) - 1


def jump(env: Env, st: State, step: Step) -> i64:
    """The slot to go on with; the other way, if it is possible too, is left for later.
    Raises Reject for an operand without a value."""
    regs = st.regs
    dst = regs[step.dst]
    if dst.kind == UNINIT:
        readable(env, st, step.dst)
    with_reg = step.with_reg
    src = regs[step.src] if with_reg else step.operand
    if src.kind == UNINIT:
        readable(env, st, step.src)
    if dst.kind != SCALAR or src.kind != SCALAR:
        return _pointers(env, st, step, dst, src)
    code = step.code
    width = step.width
    taken = branch_taken(code, width, dst.scalar, src.scalar)
    if taken != DEPENDS:
        mark_register(env.cfg, st, step.dst)
        if with_reg:
            mark_register(env.cfg, st, step.src)
        return step.target if taken == ALWAYS else step.next
    when = holds(code, width, dst.scalar, src.scalar)
    otherwise = holds(code ^ 1, width, dst.scalar, src.scalar)
    if when is None or otherwise is None:
        # No value is left on one side: that, too, rests on what is known of the operands.
        mark_register(env.cfg, st, step.dst)
        if with_reg:
            mark_register(env.cfg, st, step.src)
        if otherwise is not None:
            _learn(st, step, otherwise, _links(env, st, step, dst, src))
            return step.next
        if when is not None:
            _learn(st, step, when, _links(env, st, step, dst, src))
        return step.target
    links = _links(env, st, step, dst, src)
    other = st.copy()
    _learn(other, step, when, links)
    env.fork(other, step.target, step.slot)
    _learn(st, step, otherwise, links)
    return step.next


def _links(env: Env, st: State, step: Step, dst: Reg, src: Reg) -> list[Link]:
    """The scalars that learn what a condition says of its operands, noted for precision."""
    links: list[Link] = []
    if step.with_reg and src.id:
        _collect_links(env, st, step.slot, src.id, links)
    # Copies of one number that are compared count twice, as in Linux.
    if dst.id:
        _collect_links(env, st, step.slot, dst.id, links)
    if len(links) > 1:
        st.trail.linked(tuple(links))
    return links


def _learn(st: State, step: Step, now: Pair, links: list[Link]) -> None:
    """What a condition says of its operands and, for those of `links`, of their copies."""
    dst = st.regs[step.dst]
    src = st.regs[step.src] if step.with_reg else step.operand
    if step.with_reg and step.dst == step.src:
        # Compared with itself: what is learnt of either side holds for both.
        met = holds(JEQ, 64, now[0], now[1])
        _set(st, step.dst, dst, now[0] if met is None else met[0], links)
        return
    if now[0] is not dst.scalar:
        _set(st, step.dst, dst, now[0], links)
    if step.with_reg and now[1] is not src.scalar:
        _set(st, step.src, src, now[1], links)


def _collect_links(env: Env, st: State, insn: int, id_: i64, links: list[Link]) -> None:
    """The scalars that learn from the condition at `insn` by that id, up to the limit. Those beyond
    it are not noted for precision, so they may not learn either: they lose the id. Registers that
    nobody reads any more do not count (collect_linked_regs)."""
    live = env.live()
    for frame in reversed(st.frames):
        regs = frame.regs
        read: i64 = live[insn] & _REGISTERS
        insn = frame.callsite
        for i in range(10):
            reg = regs[i]
            if reg.id == id_ and reg.kind == SCALAR and read >> i & 1:
                if len(links) < _MAX_LINKS:
                    links.append((frame.number, shl(1, i), 0))
                else:
                    regs[i] = number(reg.scalar)
        found: list[int] = []
        for at, slot in frame.stack.items():
            spilled = slot.reg
            if spilled is not None and spilled.id == id_ and spilled.kind == SCALAR:
                found.append(at)
        if len(found) > 1:
            found.sort(reverse=True)
        for at in found:
            slot = frame.stack[at]
            spilled = slot.reg
            assert spilled is not None
            if len(links) < _MAX_LINKS:
                links.append((frame.number, 0, shl(1, -1 - at)))
            else:
                frame.stack[at] = slot.of(number(spilled.scalar))


def _set(st: State, n: i64, reg: Reg, scalar: Scalar, links: list[Link]) -> None:
    """What holds for a scalar holds for all its copies (sync_linked_regs)."""
    st.regs[n] = linked(scalar, reg)
    id_ = reg.id
    if not id_:
        return
    for number_, registers, slots in links:
        frame = st.frames[number_]
        if registers:
            i = _lowest(registers)
            other = frame.regs[i]
            if other.id == id_:
                frame.regs[i] = _told(other, reg, scalar)
        else:
            at = -1 - _lowest(slots)
            slot = frame.stack[at]
            if slot.reg is not None and slot.reg.id == id_:
                frame.stack[at] = slot.of(_told(slot.reg, reg, scalar))


def _lowest(bits: i64) -> i64:
    """The number of the lowest bit that is set."""
    n: i64 = 0
    while not bits >> n & 1:
        n += 1
    return n


def _told(other: Reg, reg: Reg, scalar: Scalar) -> Reg:
    """`other`, which is `reg` plus a constant, now that `reg` is known to be `scalar`."""
    if other.off and reg.off and other.narrow != reg.narrow:
        return other
    if other.off == reg.off:
        return linked(scalar, other)
    width = 32 if other.narrow or reg.narrow else 64
    return linked(alu(ADD, width, scalar, const(other.off - reg.off)), other)


def _pointers(env: Env, st: State, step: Step, dst: Reg, src: Reg) -> i64:
    if step.width == 64 and (dst.kind == PACKET or src.kind == PACKET):
        with_packet = src.kind if dst.kind == PACKET else dst.kind
        if with_packet == PACKET_END:
            return packet_end(env, st, step, dst, src)
        if with_packet == PACKET_META:
            return packet_start(env, st, step, dst, src)
    equality = step.code == JEQ or step.code == JNE
    pointer = src if dst.kind == SCALAR else dst
    other = dst if pointer is src else src
    if equality and is_null(other):
        if not pointer.or_null and not _not_null(pointer):
            pass
        elif not pointer.or_null:
            # A 32-bit comparison sees half of the address, which may well be 0.
            if step.width == 64:
                if step.with_reg:
                    mark_register(env.cfg, st, step.dst if other is dst else step.src)
                return step.target if step.code == JNE else step.next
        elif step.width == 64 and not step.with_reg:
            # Linux takes a comparison with a register for none that tells NULL.
            return _null_check(env, st, step, pointer)
    elif equality and step.width == 64 and _tells_non_null(dst, src):
        # Of its copies this says nothing (mark_ptr_not_null_reg).
        n = step.dst if dst.or_null else step.src
        reg = st.regs[n]
        equal = st.copy()
        equal.regs[n] = Reg(reg.kind, reg.scalar, reg.off, reg.id, reg.ref, reg.what)
        if step.code == JEQ:
            env.fork(equal, step.target, step.slot)
            return step.next
        env.fork(st.copy(), step.target, step.slot)
        st.frames, st.regs, st.refs = equal.frames, equal.regs, equal.refs
        return step.next
    env.fork(st.copy(), step.target, step.slot)
    return step.next


def _not_null(pointer: Reg) -> bool:
    """Is it known not to be NULL (reg_not_null)? Linux walks both ways for other pointers; of one
    that was moved by any number it does not see that it may be 0 now."""
    if not is_near(pointer):
        return False
    if pointer.kind == OBJECT:
        return bool(pointer.what.standing <= BORROWED)
    if pointer.kind == KERNEL:
        return is_trusted(pointer)
    if pointer.kind == SOCKET:
        return bool(pointer.what.never_null)
    if pointer.kind == MEM:
        return not pointer.what.anywhere and not pointer.what.buffer
    return pointer.kind in _NEVER_NULL


def _tells_non_null(dst: Reg, src: Reg) -> bool:
    """Does it follow from their equality that the one that may be NULL is not? An address that may
    be any, which Linux takes for none that is NULL, tells nothing, nor does one that was moved by
    any number."""
    return (
        dst.kind != SCALAR
        and src.kind != SCALAR
        and dst.or_null != src.or_null
        and not _may_be_any(dst)
        and not _may_be_any(src)
        and is_near(dst)
        and is_near(src)
    )


def _may_be_any(reg: Reg) -> bool:
    return reg.kind in _TYPED or (reg.kind == MEM and bool(reg.what.anywhere))


def _null_check(env: Env, st: State, step: Step, pointer: Reg) -> i64:
    """Both ways of a comparison with 0 (mark_ptr_or_null_regs)."""
    other = st.copy()
    null, sure = (other, st) if step.code == JEQ else (st, other)
    mark_null(null, pointer, null=True)
    mark_null(sure, pointer, null=False)
    env.fork(other, step.target, step.slot)
    return step.next
