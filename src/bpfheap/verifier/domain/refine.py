"""What a conditional jump tells of its operands (is_branch_taken, reg_set_min_max).

Each condition is told as one that holds: the fall-through of `jlt` is `jge` holding.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from bpfheap.verifier.domain.scalar import Scalar, tighten
from bpfheap.verifier.domain.word import (
    S32_MAX,
    S32_MIN,
    U32_MAX,
    higher,
    lower,
    s64_max,
    s64_min,
    sext32,
    ule,
    ult,
    wrap,
)

# Conditions, as numbers that compiled code compares fast; the opposite of each is code ^ 1.
JEQ: Final = 0
JNE: Final = 1
JLT: Final = 2
JGE: Final = 3
JLE: Final = 4
JGT: Final = 5
JSLT: Final = 6
JSGE: Final = 7
JSLE: Final = 8
JSGT: Final = 9
JSET: Final = 10
NO_BIT: Final = 11

JUMP_CODE: dict[str, int] = {
    "jeq": JEQ, "jne": JNE, "jlt": JLT, "jge": JGE, "jle": JLE, "jgt": JGT,
    "jslt": JSLT, "jsge": JSGE, "jsle": JSLE, "jsgt": JSGT, "jset": JSET,
}  # fmt: skip

# What is_branch_taken says.
NEVER: Final = 0
ALWAYS: Final = 1
DEPENDS: Final = -1

#: Both operands, in the order dst, src.
Pair = tuple[Scalar, Scalar]


def branch_taken(code: i64, width: i64, d: Scalar, s: Scalar) -> i64:
    """Is `dst code src` ALWAYS or NEVER true, on `width` (32, 64) bits, or does it depend
    (is_scalar_branch_taken)?"""
    if code >= JSET:
        dv, dm, sv, sm = d.v, d.m, s.v, s.m
        if width == 32:
            dv, dm, sv, sm = dv & U32_MAX, dm & U32_MAX, sv & U32_MAX, sm & U32_MAX
        hit: i64 = JSET
        if dm and sm:
            # Linux looks at single bits only where one side is a constant.
            return DEPENDS
        if dv & sv:
            return ALWAYS if code == hit else NEVER
        if (dv | dm) & (sv | sm) == 0:
            return NEVER if code == hit else ALWAYS
        return DEPENDS
    if code <= JNE:
        differ = _differ(width, d, s)
        if differ == DEPENDS:
            return DEPENDS
        return (ALWAYS if differ == NEVER else NEVER) if code == JEQ else differ
    if code <= JGT:
        if width == 64:
            return _compare_unsigned(code, d.umin, d.umax, s.umin, s.umax)
        return _compare_signed(code, d.u32_min, d.u32_max, s.u32_min, s.u32_max)
    if width == 64:
        return _compare_signed(code - 4, d.smin, d.smax, s.smin, s.smax)
    return _compare_signed(code - 4, d.s32_min, d.s32_max, s.s32_min, s.s32_max)


def _differ(width: i64, d: Scalar, s: Scalar) -> i64:
    if width == 64:
        if d.umin == d.umax == s.umin == s.umax:
            return NEVER
        if ult(s.umax, d.umin) or ult(d.umax, s.umin) or d.smin > s.smax or d.smax < s.smin:
            return ALWAYS
        if (d.v ^ s.v) & ~(d.m | s.m):
            return ALWAYS
    elif d.u32_min == d.u32_max == s.u32_min == s.u32_max:
        return NEVER
    elif (d.v ^ s.v) & ~(d.m | s.m) & U32_MAX:
        return ALWAYS
    if (
        d.u32_min > s.u32_max
        or d.u32_max < s.u32_min
        or d.s32_min > s.s32_max
        or d.s32_max < s.s32_min
    ):
        return ALWAYS
    return DEPENDS


def _compare_unsigned(code: i64, dmin: i64, dmax: i64, smin: i64, smax: i64) -> i64:
    if code == JLT:
        return ALWAYS if ult(dmax, smin) else NEVER if ule(smax, dmin) else DEPENDS
    if code == JGE:
        return ALWAYS if ule(smax, dmin) else NEVER if ult(dmax, smin) else DEPENDS
    if code == JLE:
        return ALWAYS if ule(dmax, smin) else NEVER if ult(smax, dmin) else DEPENDS
    return ALWAYS if ult(smax, dmin) else NEVER if ule(dmax, smin) else DEPENDS


def _compare_signed(code: i64, dmin: i64, dmax: i64, smin: i64, smax: i64) -> i64:
    """Codes are those of the unsigned conditions."""
    if code == JLT:
        return ALWAYS if dmax < smin else NEVER if smax <= dmin else DEPENDS
    if code == JGE:
        return ALWAYS if smax <= dmin else NEVER if dmax < smin else DEPENDS
    if code == JLE:
        return ALWAYS if dmax <= smin else NEVER if smax < dmin else DEPENDS
    return ALWAYS if smax < dmin else NEVER if dmax <= smin else DEPENDS


def holds(code: i64, width: i64, d: Scalar, s: Scalar) -> Pair | None:
    """The operands where `dst code src` holds, on `width` (32, 64) bits; None if no pair of
    values is left (regs_refine_cond_op)."""
    if code == JEQ:
        return _equal(width, d, s)
    if code == JNE:
        return _both(_without(width, d, s), _without(width, s, d))
    if code == JSET:
        return _both(_with_bit(width, d, s), _with_bit(width, s, d))
    if code == NO_BIT:
        return _both(_without_bits(width, d, s), _without_bits(width, s, d))
    if code <= JLE and code != JGE:
        return _less(width, d, s, 1 if code == JLT else 0)
    if JSLT <= code <= JSLE and code != JSGE:
        return _signed_less(width, d, s, 1 if code == JSLT else 0)
    if code <= JGT:
        pair = _less(width, s, d, 1 if code == JGT else 0)
    else:
        pair = _signed_less(width, s, d, 1 if code == JSGT else 0)
    return None if pair is None else (pair[1], pair[0])


def _both(a: Scalar | None, b: Scalar | None) -> Pair | None:
    return None if a is None or b is None else (a, b)


def _equal(width: i64, a: Scalar, b: Scalar) -> Pair | None:
    """a == b: each knows what the other knows; of low halves only if these were compared, or one
    side is a constant."""
    s32_min, s32_max = max(a.s32_min, b.s32_min), min(a.s32_max, b.s32_max)
    u32_min, u32_max = max(a.u32_min, b.u32_min), min(a.u32_max, b.u32_max)
    m = a.m & b.m
    v = (a.v | b.v) & ~m
    differ = (a.v ^ b.v) & ~(a.m | b.m)
    if width == 64:
        if differ:
            return None
        smin, smax = max(a.smin, b.smin), min(a.smax, b.smax)
        umin, umax = higher(a.umin, b.umin), lower(a.umax, b.umax)
        if m == 0:
            both = tighten(v, m, smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max)
            return None if both is None else (both, both)
        return _both(
            tighten(v, m, smin, smax, umin, umax, a.s32_min, a.s32_max, a.u32_min, a.u32_max),
            tighten(v, m, smin, smax, umin, umax, b.s32_min, b.s32_max, b.u32_min, b.u32_max),
        )
    if differ & U32_MAX:
        return None
    v &= U32_MAX
    m &= U32_MAX
    high = ~U32_MAX
    return _both(
        tighten(
            (a.v & high) | v, (a.m & high) | m, a.smin, a.smax, a.umin, a.umax,
            s32_min, s32_max, u32_min, u32_max,
        ),
        tighten(
            (b.v & high) | v, (b.m & high) | m, b.smin, b.smax, b.umin, b.umax,
            s32_min, s32_max, u32_min, u32_max,
        ),
    )  # fmt: skip


def _without(width: i64, s: Scalar, other: Scalar) -> Scalar | None:
    """`s` less the value of `other`, if that is a constant at an end of it."""
    if width == 64:
        x = other.v
        if other.m != 0 or not (x == s.umin or x == s.umax or x == s.smin or x == s.smax):
            return s
        if x == s.umin == s.umax:
            return None
        return tighten(
            s.v, s.m,
            s.smin + 1 if x == s.smin else s.smin, s.smax - 1 if x == s.smax else s.smax,
            wrap(s.umin + 1) if x == s.umin else s.umin,
            wrap(s.umax - 1) if x == s.umax else s.umax,
            s.s32_min, s.s32_max, s.u32_min, s.u32_max,
        )  # fmt: skip
    x = other.u32_min
    y = sext32(x)
    if x != other.u32_max or not (
        x == s.u32_min or x == s.u32_max or y == s.s32_min or y == s.s32_max
    ):
        return s
    return tighten(
        s.v, s.m, s.smin, s.smax, s.umin, s.umax,
        s.s32_min + 1 if y == s.s32_min else s.s32_min,
        s.s32_max - 1 if y == s.s32_max else s.s32_max,
        s.u32_min + 1 if x == s.u32_min else s.u32_min,
        s.u32_max - 1 if x == s.u32_max else s.u32_max,
    )  # fmt: skip


def _less(width: i64, a: Scalar, b: Scalar, gap: i64) -> Pair | None:
    """a + gap <= b, unsigned; gap is 0 or 1."""
    if width == 64:
        if gap and (b.umax == 0 or a.umin == -1):
            return None
        high, low = wrap(b.umax - gap), wrap(a.umin + gap)
        return _both(
            a if ule(a.umax, high) else _within(a, a.umin, high),
            b if ule(low, b.umin) else _within(b, low, b.umax),
        )
    high, low = b.u32_max - gap, a.u32_min + gap
    return _both(
        a if a.u32_max <= high else _within32(a, a.u32_min, high),
        b if low <= b.u32_min else _within32(b, low, b.u32_max),
    )


def _within(s: Scalar, low: i64, high: i64) -> Scalar | None:
    return tighten(s.v, s.m, s.smin, s.smax, low, high, s.s32_min, s.s32_max, s.u32_min, s.u32_max)


def _within32(s: Scalar, low: i64, high: i64) -> Scalar | None:
    if low > high:
        return None
    return tighten(s.v, s.m, s.smin, s.smax, s.umin, s.umax, s.s32_min, s.s32_max, low, high)


def _signed_less(width: i64, a: Scalar, b: Scalar, gap: i64) -> Pair | None:
    """a + gap <= b, signed; gap is 0 or 1."""
    if width == 64:
        if gap and (b.smax == s64_min() or a.smin == s64_max()):
            return None
        high, low = b.smax - gap, a.smin + gap
        return _both(
            a if a.smax <= high else between(a, a.smin, high),
            b if low <= b.smin else between(b, low, b.smax),
        )
    high, low = b.s32_max - gap, a.s32_min + gap
    return _both(
        a if a.s32_max <= high else _between32(a, a.s32_min, high),
        b if low <= b.s32_min else _between32(b, low, b.s32_max),
    )


def between(s: Scalar, low: i64, high: i64) -> Scalar | None:
    """The number, known to be from `low` to `high`; None if it is not."""
    return tighten(s.v, s.m, low, high, s.umin, s.umax, s.s32_min, s.s32_max, s.u32_min, s.u32_max)


def _between32(s: Scalar, low: i64, high: i64) -> Scalar | None:
    if low > high:
        return None
    return tighten(s.v, s.m, s.smin, s.smax, s.umin, s.umax, low, high, s.u32_min, s.u32_max)


def _with_bit(width: i64, s: Scalar, other: Scalar) -> Scalar | None:
    """s & other != 0, where `other` is a constant with a single bit: it is set in `s`."""
    bits, unknown = other.v, other.m
    if width == 32:
        bits, unknown = bits & U32_MAX, unknown & U32_MAX
    if unknown or bits & wrap(bits - 1) or bits & s.m == 0:
        return s
    return tighten(
        s.v | bits, s.m & ~bits, s.smin, s.smax, s.umin, s.umax,
        s.s32_min, s.s32_max, s.u32_min, s.u32_max,
    )  # fmt: skip


def _without_bits(width: i64, s: Scalar, other: Scalar) -> Scalar | None:
    """s & other == 0, where `other` is a constant: its bits are clear in `s`, and all ranges are
    forgotten, as in regs_refine_cond_op."""
    bits, unknown = other.v, other.m
    if width == 32:
        bits, unknown = bits & U32_MAX, unknown & U32_MAX
    if unknown:
        return s
    return tighten(
        s.v & ~bits, s.m & ~bits, s64_min(), s64_max(), 0, -1, S32_MIN, S32_MAX, 0, U32_MAX
    )
