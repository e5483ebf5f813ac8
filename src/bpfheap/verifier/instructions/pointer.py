"""Arithmetic with pointers (adjust_ptr_min_max_vals, check_reg_sane_offset)."""

from __future__ import annotations

from bpfheap.verifier import hints
from bpfheap.verifier.domain.arith import ADD, SUB, alu
from bpfheap.verifier.domain.scalar import Scalar
from bpfheap.verifier.memory.obligations import is_near
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import (
    FLOW_KEYS,
    FUNC,
    MAP,
    MAX_VAR,
    MEM,
    PACKET,
    PACKET_END,
    PACKET_META,
    SCALAR,
    SOCKET,
    STACK,
    UNKNOWN,
    Reg,
    type_name,
)

_S32_MAX = (1 << 31) - 1
#: Kinds that only ever point at the start of what they point at.
_FIXED = frozenset({MAP, FUNC, PACKET_END, SOCKET})
#: Kinds to which not even 0 can be added.
_IMMOVABLE = frozenset({PACKET_END, SOCKET})
_BITWISE = frozenset({"and", "or", "xor"})
#: bpf_alu_string
_SIGNS = {
    "add": "+=", "sub": "-=", "mul": "*=", "div": "/=", "sdiv": "/=", "mod": "%=", "smod": "%=",
    "or": "|=", "and": "&=", "xor": "^=", "lsh": "<<=", "rsh": ">>=", "arsh": "s>>=",
}  # fmt: skip


def pointer_alu(env: Env, name: str, width: int, n: int, dst: Reg, src: Reg) -> Reg:
    """dst `name` src, of which at least one is a pointer; `n` is dst's register.

    Raises Reject for all but adding or subtracting a bounded number, and the difference of two.
    """
    if name == "sub" and (width == 32 or (dst.kind != SCALAR and src.kind != SCALAR)):
        # Meaningless, but a privileged program may have it.
        return UNKNOWN
    if dst.kind != SCALAR and src.kind != SCALAR:
        raise Reject(
            f"R{n} pointer {_SIGNS[name]} pointer prohibited",
            register=n,
            hint="only the difference of two pointers can be computed",
        )
    pointer, amount = (src, dst) if dst.kind == SCALAR else (dst, src)
    if pointer.kind == MEM and pointer.what.anywhere and width == 64:
        # Any address may be read there, so it does not matter where it points.
        return UNKNOWN if pointer is src else pointer
    _check(name, width, n, pointer, amount, reverse=dst.kind == SCALAR)
    scalar = amount.scalar
    if name == "add":
        if scalar.is_const and -_S32_MAX <= pointer.off + scalar.smin <= _S32_MAX:
            moved = _shifted(pointer, pointer.off + scalar.smin)
        else:
            moved = _packet(env, pointer.moved(pointer.off, alu(ADD, 64, pointer.scalar, scalar)))
    elif scalar.is_const and -_S32_MAX <= pointer.off - scalar.smin <= _S32_MAX:
        moved = _shifted(pointer, pointer.off - scalar.smin)
    else:
        moved = pointer.moved(pointer.off, alu(SUB, 64, pointer.scalar, scalar))
        moved = _packet(env, moved, keep=scalar.smin >= 0)
    _sane(n, moved.scalar, pointer, moved.off)
    return moved


def _shifted(pointer: Reg, off: int) -> Reg:
    """The pointer at a fixed offset from what it was relative to. One that is known to be at the
    packet's end or beyond is still there if it goes on, unless that leads around to the first
    address, and may be anywhere if it comes back."""
    moved = pointer.moved(off, pointer.scalar)
    if (
        moved.kind == PACKET
        and pointer.what < 0
        and (off < pointer.off or (off > pointer.off and not is_near(moved)))
    ):
        return moved.of(0, 0)
    return moved


def _packet(env: Env, moved: Reg, keep: bool = False) -> Reg:
    """A pointer into the packet that moved by what is not known says nothing of others, and what
    was known to be behind it is not known any more, unless it went back."""
    if moved.kind != PACKET and moved.kind != PACKET_META:
        return moved
    keep = keep and moved.what > 0
    return moved.with_id(env.new_id()) if keep else moved.of(0, 0).with_id(env.new_id())


def _check(name: str, width: int, n: int, pointer: Reg, amount: Reg, *, reverse: bool) -> None:
    if width == 32:
        raise Reject(
            f"R{n} 32-bit pointer arithmetic prohibited",
            register=n,
            hint="pointers are 64 bits wide: do not cast them to int",
        )
    if pointer.or_null:
        raise Reject(
            f"R{n} pointer arithmetic on {type_name(pointer)} prohibited, null-check it first",
            register=n,
            hint=hints.CHECK_NULL,
        )
    if name not in ("add", "sub"):
        operation = "bitwise operator" if name in _BITWISE else "pointer arithmetic with"
        tail = "on pointer" if name in _BITWISE else "operator"
        raise Reject(
            f"R{n} {operation} {_SIGNS[name]} {tail} prohibited",
            register=n,
            hint="only numbers can be added to and subtracted from a pointer",
        )
    zero = amount.scalar.m == 0 == amount.scalar.v
    unmoved = zero and name == "add" and pointer.kind not in _IMMOVABLE
    fixed = pointer.kind == FLOW_KEYS and not amount.scalar.is_const
    if (pointer.kind in _FIXED or fixed) and not unmoved:
        raise Reject(f"R{n} pointer arithmetic on {type_name(pointer)} prohibited", register=n)
    if name == "sub" and reverse:
        raise Reject(f"R{n} tried to subtract pointer from scalar", register=n)
    if name == "sub" and pointer.kind == STACK:
        raise Reject(
            f"R{n} subtraction from stack pointer prohibited",
            register=n,
            hint="add a negative number instead",
        )
    _sane(n, amount.scalar, pointer, amount.off)


def _sane(n: int, scalar: Scalar, pointer: Reg, distance: int = 0) -> None:
    """check_reg_sane_offset: a number that is far out, or not bounded below, gives no pointer worth
    following; nor, to Linux, does one that is at a large `distance` from another one, whatever it
    is itself."""
    if scalar.is_const and not -MAX_VAR < scalar.smin < MAX_VAR:
        raise Reject(
            f"math between {type_name(pointer)} pointer and {scalar.smin} is not allowed",
            register=n,
            hint=hints.CHECK_INDEX,
        )
    if not -MAX_VAR < distance < MAX_VAR:
        raise Reject(
            f"{type_name(pointer)} pointer offset {distance} is not allowed",
            register=n,
            hint=hints.CHECK_INDEX,
        )
    if scalar.is_const:
        return
    if scalar.smin <= -(1 << 63):
        raise Reject(
            f"math between {type_name(pointer)} pointer and register with unbounded min value is "
            "not allowed",
            register=n,
            hint=hints.UNSIGNED,
        )
    if scalar.smin <= -MAX_VAR or scalar.smin >= MAX_VAR:
        raise Reject(
            f"value {scalar.smin} makes {type_name(pointer)} pointer be out of bounds",
            register=n,
            hint=hints.CHECK_INDEX,
        )
