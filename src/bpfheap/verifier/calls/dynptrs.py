"""Dynptrs that calls are given, set up, copy and release, and slices of them.

Sources: process_dynptr_func, stack_slot_obj_get_spi, check_helper_call, check_kfunc_args and
check_special_kfunc in kernel/bpf/verifier.c of Linux 6.18.
"""

from __future__ import annotations

from bpfheap.platform.calls import SideEffect
from bpfheap.platform.dynptrs import DYNPTR_SIZE, DynptrKind
from bpfheap.platform.kfuncs import Kfunc, KfuncFlag
from bpfheap.verifier import hints
from bpfheap.verifier.calls.meta import Meta, expected
from bpfheap.verifier.memory.access import deepen
from bpfheap.verifier.memory.dynptrs import dynptr_at, overwritten, put, release
from bpfheap.verifier.memory.kinds import within_stack
from bpfheap.verifier.memory.obligations import check_unmoved
from bpfheap.verifier.memory.ownership import acquire_reference
from bpfheap.verifier.memory.packet import forget_packet, is_slice
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.paths.precision import mark_register
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import (
    DYNPTR,
    MAP_VALUE,
    MEM,
    SLOT,
    STACK,
    ZERO_OFFSET,
    Dynptr,
    Gone,
    Invalidation,
    Mem,
    Reg,
    State,
    type_name,
)

_TAKEN = "fp, dynptr_ptr"
_LOCAL = "make it a local variable: struct bpf_dynptr ptr;"
_UNCHANGED = "pass it as it came"


def _place(env: Env, st: State, n: int, reg: Reg, wanted: str, hint: str) -> int:
    """The offset on the stack that a register points at, where there is room for a dynptr
    (stack_slot_obj_get_spi); `wanted` is what is said if there is none. Raises Reject."""
    if not reg.scalar.is_const:
        mark_register(env.cfg, st, n)
        raise Reject(
            wanted, before="dynptr has to be at a constant offset", register=n,
            hint=hints.CONST_OFFSET,
        )  # fmt: skip
    low = int(reg.off + reg.scalar.smin)
    if low % SLOT or low > -DYNPTR_SIZE:
        said = f"cannot pass in dynptr at an offset={low}"
        raise Reject(wanted, before=said, detail=said, register=n, hint=hint)
    return low


def given(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """A helper's argument: any dynptr that is set up."""
    _check_kind(n, reg)
    meta.dynptr = initialized(env, st, n, reg)


def released(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """One that stands for a record, which goes."""
    _check_kind(n, reg)
    hint = "pass what bpf_ringbuf_reserve_dynptr() has set up, once"
    if reg.kind == DYNPTR:
        check_unmoved(n, reg, _UNCHANGED)
        raise Reject("cannot release unowned const bpf_dynptr", register=n, hint=hint)
    unacquired = f"arg {n} is an unacquired reference"
    low = _place(env, st, n, reg, unacquired, hint)
    slot = st.frames[reg.what].stack.get(low >> 3)
    if slot is None or slot.reg is None or not slot.reg.ref:
        raise Reject(unacquired, register=n, hint=hint)
    found = initialized(env, st, n, reg)
    if found.what.kind is not DynptrKind.RINGBUF:
        raise Reject(
            f"Expected a dynptr of type {DynptrKind.RINGBUF} as arg #{n - 1}",
            register=n,
            hint=hint,
        )
    meta.dynptr = found


def _check_kind(n: int, reg: Reg) -> None:
    """check_reg_type"""
    if reg.or_null or reg.kind not in (STACK, DYNPTR):
        raise expected(n, reg, _TAKEN, _LOCAL)
    if reg.kind == DYNPTR:
        check_unmoved(n, reg, _UNCHANGED)


def initialized(env: Env, st: State, n: int, reg: Reg) -> Reg:
    """The dynptr that a register points at (is_dynptr_reg_valid_init). Raises Reject."""
    if reg.kind == DYNPTR:
        return reg
    wanted = f"Expected an initialized dynptr as arg #{n - 1}"
    hint = "set it up on every path, and write nothing over it"
    low = _place(env, st, n, reg, wanted, hint)
    found = dynptr_at(st.frames[reg.what], low >> 3)
    if found is None:
        raise Reject(wanted, register=n, hint=hint)
    return found


def fresh(env: Env, st: State, n: int, reg: Reg, meta: Meta) -> None:
    """A helper's argument: stack for one, which it sets up."""
    _check_kind(n, reg)
    assert meta.call.makes is not None
    _set_up(env, st, n, reg, meta, Dynptr(meta.call.makes), 0)


def _set_up(env: Env, st: State, n: int, reg: Reg, meta: Meta, what: Dynptr, ref: int) -> None:
    """mark_stack_slots_dynptr; `ref` is that of what is copied."""
    wanted = "Dynptr has to be an uninitialized dynptr"
    if reg.kind == DYNPTR:
        raise Reject(wanted, register=n, hint=_LOCAL)
    low = _place(env, st, n, reg, wanted, _LOCAL)
    for off in range(0, DYNPTR_SIZE, SLOT):
        within_stack(n, reg, off, SLOT, "write to")
    frame = st.frames[reg.what]
    deepen(env, frame.subprog, low)
    overwritten(st, frame, low, low + DYNPTR_SIZE, meta.slot)
    if what.kind.owned and not ref:
        ref = acquire_reference(env, st, what, meta.slot)
    put(st, frame, low >> 3, what, env.new_id(), ref)


def argument(env: Env, st: State, n: int, reg: Reg, meta: Meta, row: Kfunc, *, new: bool) -> None:
    """A kfunc's (KF_ARG_PTR_TO_DYNPTR). `new`: is it to be set up?"""
    check_either(n, reg)
    if new:
        # Without a kind of its own it is the copy of the one before.
        source = meta.dynptr
        if row.makes is not None:
            what = Dynptr(row.makes, moves=row.makes.of_packet)
        else:
            assert source is not None
            what = source.what
        copied = 0 if source is None or row.makes is not None else source.ref
        _set_up(env, st, n, reg, meta, what, copied)
        return
    meta.dynptr = initialized(env, st, n, reg)
    if n == row.writes:
        meta.written = meta.dynptr


def check_either(n: int, reg: Reg) -> None:
    """It is on the stack, or what a function was given a pointer to (process_dynptr_func). Raises
    Reject."""
    if reg.kind == DYNPTR:
        check_unmoved(n, reg, _UNCHANGED)
    if reg.or_null or reg.kind not in (STACK, DYNPTR):
        raise Reject(
            f"arg#{n - 1} expected pointer to stack or const struct bpf_dynptr",
            detail=f"R{n} is {type_name(reg)}",
            register=n,
            hint=_LOCAL,
        )


def check_memory(env: Env, st: State, meta: Meta) -> None:
    """A dynptr leads to a value of a map alone. Raises Reject."""
    if meta.call.makes is DynptrKind.LOCAL and st.regs[1].kind != MAP_VALUE:
        raise Reject(
            f"Unsupported reg type {type_name(st.regs[1])} for {meta.call.name} data",
            register=1,
            hint="pass the address of a map value, or of a global variable",
        )


def check_source(meta: Meta, n: int, reg: Reg) -> None:
    """The call moves the packet before it reads what it is given. Raises Reject. (Linux takes
    slices for memory that stays.)"""
    dynptr = meta.dynptr
    moves = meta.call.packet or (
        meta.call.side_effect is SideEffect.WRITES_DYNPTR and dynptr is not None and _moves(dynptr)
    )
    if moves and is_slice(reg):
        raise Reject(
            "helper access to the packet is not allowed",
            detail=f"R{n} of {meta.call.title} is a slice of the packet, which the call may move",
            register=n,
            hint="copy what it shall read to the stack first",
        )


def _moves(dynptr: Reg) -> bool:
    """Does writing through it move the packet? Of a parameter it is not known which one it is."""
    what: Dynptr = dynptr.what
    return what.kind.moved or (what.kind is DynptrKind.LOCAL and what.moves)


def written(env: Env, st: State, meta: Meta) -> None:
    """What a dynptr leads to was written."""
    dynptr = meta.written if meta.written is not None else meta.dynptr
    assert dynptr is not None
    if _moves(dynptr):
        forget_packet(st, meta.slot, meta.call.name)


def discard(env: Env, st: State, meta: Meta) -> None:
    """The record is the reader's, or nobody's."""
    assert meta.dynptr is not None
    gone = Gone(meta.slot, meta.call.name, "slice", Invalidation.MOVED)
    release(st, meta.dynptr.ref, gone)


def data(env: Env, st: State, meta: Meta) -> Reg:
    """A slice of what can be addressed, or NULL."""
    dynptr = meta.dynptr
    assert dynptr is not None
    align = _alignment(st.regs[2])
    what = Mem(meta.size, align=align, dynptr=dynptr.id)
    return Reg(MEM, ZERO_OFFSET, 0, env.new_id(), dynptr.ref, what, True)


def _alignment(offset: Reg) -> int:
    """What an address at that offset is a multiple of, at most 8."""
    odd = offset.scalar.v | offset.scalar.m | SLOT
    return odd & -odd


def sliced(env: Env, st: State, meta: Meta, row: Kfunc) -> Reg:
    """A slice of anything, or the copy of it in a buffer (check_special_kfunc)."""
    dynptr = meta.dynptr
    assert dynptr is not None
    readonly = KfuncFlag.READS_SLICE in row.flags
    # may_access_direct_pkt_data, of a write
    if not readonly and not env.type.writes_packet:
        raise Reject(
            "the prog does not allow writes to packet data",
            hint=f"{env.type.name} programs write no packets: use bpf_dynptr_slice()",
        )
    what: Dynptr = dynptr.what
    buffer = st.regs[3]
    align = 1 if what.moves else _alignment(st.regs[2])
    slice_ = Mem(meta.size, readonly=readonly, align=align, sliced=True, moves=what.moves)
    ref = dynptr.ref
    if what.moves and buffer.kind == STACK:
        st.dynptrs = True
        low = int(buffer.off + buffer.scalar.smin)
        high = int(buffer.off + buffer.scalar.smax)
        slice_ = slice_._replace(buffers=((buffer.what, low, high + meta.size),))
    elif what.moves and buffer.kind == MEM:
        # It goes with what it may be a copy in.
        memory: Mem = buffer.what
        ref, slice_ = buffer.ref, slice_._replace(buffers=memory.buffers, dynptr=memory.dynptr)
    return Reg(MEM, ZERO_OFFSET, 0, 0, ref, slice_)
