"""What the verifier knows of a scalar: bits, and signed and unsigned 64- and 32-bit ranges.

The counterpart of the scalar part of struct bpf_reg_state (Linux 6.18). A `Scalar` stands for all
64-bit values that every component allows; the components sharpen each other in `tighten`. A
combination that allows no value is None, never a Scalar.
"""

from __future__ import annotations

from mypy_extensions import i64

from bpfheap.verifier.domain.tnum import smax_of, smin_of
from bpfheap.verifier.domain.word import (
    S32_MAX,
    S32_MIN,
    SIGN32,
    U32_MAX,
    higher,
    lower,
    pattern,
    s64_max,
    s64_min,
    sext32,
    smear,
    ule,
    ult,
    unsigned,
    wrap,
)

#: UNUM_MAX_DECIMAL: larger numbers are written in hexadecimal.
_MAX_DECIMAL = 0xFFFF


class Scalar:
    """Immutable. `v`, `m` are the bits (see tnum); all ends are inclusive. `umin` and `umax` are
    patterns (see word), the 32-bit ends are in their natural ranges."""

    __slots__ = (
        "m",
        "s32_max",
        "s32_min",
        "smax",
        "smin",
        "u32_max",
        "u32_min",
        "umax",
        "umin",
        "v",
    )

    def __init__(
        self, v: i64, m: i64, smin: i64, smax: i64, umin: i64, umax: i64,
        s32_min: i64, s32_max: i64, u32_min: i64, u32_max: i64,
    ) -> None:  # fmt: skip
        self.v = v
        self.m = m
        self.smin = smin
        self.smax = smax
        self.umin = umin
        self.umax = umax
        self.s32_min = s32_min
        self.s32_max = s32_max
        self.u32_min = u32_min
        self.u32_max = u32_max

    @property
    def is_const(self) -> bool:
        """Is there only one value?"""
        return self.m == 0

    @property
    def const_value(self) -> int:
        """The only value, unsigned; meaningful only if `is_const`."""
        return unsigned(self.v)

    @property
    def top(self) -> int:
        """The greatest value, unsigned."""
        return unsigned(self.umax)

    def contains(self, x: i64) -> bool:
        """Is the value with pattern `x` among the values?"""
        low = x & U32_MAX
        return (
            x & ~self.m == self.v
            and ule(self.umin, x)
            and ule(x, self.umax)
            and self.smin <= x <= self.smax
            and self.u32_min <= low <= self.u32_max
            and self.s32_min <= sext32(low) <= self.s32_max
        )

    def __repr__(self) -> str:
        return (
            f"Scalar(bits=({unsigned(self.v):#x}; {unsigned(self.m):#x}), "
            f"s=[{self.smin}, {self.smax}], u=[{unsigned(self.umin)}, {unsigned(self.umax)}], "
            f"s32=[{self.s32_min}, {self.s32_max}], u32=[{self.u32_min}, {self.u32_max}])"
        )


def bits_text(s: Scalar) -> str:
    """As tnum_strn in kernel/bpf/log.c writes what is known of the bits."""
    value = unsigned(s.v)
    if s.m == 0:
        return str(value) if value <= _MAX_DECIMAL else hex(value)
    return f"({value:#x}; {unsigned(s.m):#x})"


def ends(low: int, high: int) -> str:
    """As verbose_invalid_scalar writes a signed range, before "should have been in"."""
    told = []
    if low > smin_of(0, -1):
        told.append(f"smin={low}")
    if high < smax_of(0, -1):
        told.append(f"smax={high}")
    return " ".join(told) or "unknown scalar value"


def const(value: i64) -> Scalar:
    """Exactly the value with that pattern (__mark_reg_known)."""
    low = value & U32_MAX
    signed = sext32(low)
    return Scalar(value, 0, value, value, value, value, signed, signed, low, low)


def constant(value: int) -> Scalar:
    """Exactly `value`, given signed or unsigned."""
    return const(pattern(value))


#: Any 64-bit value.
UNKNOWN_SCALAR = Scalar(
    0, -1, s64_min(), s64_max(), 0, -1, S32_MIN, S32_MAX, 0, U32_MAX
)  # fmt: skip


def same(a: Scalar, b: Scalar) -> bool:
    """Is each component equal?"""
    return a is b or (
        a.v == b.v
        and a.m == b.m
        and a.smin == b.smin
        and a.smax == b.smax
        and a.umin == b.umin
        and a.umax == b.umax
        and a.s32_min == b.s32_min
        and a.s32_max == b.s32_max
        and a.u32_min == b.u32_min
        and a.u32_max == b.u32_max
    )


def subset(a: Scalar, b: Scalar) -> bool:
    """Is each component of `a` within that of `b` (range_within and tnum_in)?"""
    if a is b or b is UNKNOWN_SCALAR:
        return True
    return (
        a.m & ~b.m == 0
        and b.v == a.v & ~b.m
        and b.smin <= a.smin
        and a.smax <= b.smax
        and ule(b.umin, a.umin)
        and ule(a.umax, b.umax)
        and b.s32_min <= a.s32_min
        and a.s32_max <= b.s32_max
        and b.u32_min <= a.u32_min
        and a.u32_max <= b.u32_max
    )


def is_unknown(s: Scalar) -> bool:
    """Says it nothing?"""
    return s is UNKNOWN_SCALAR or same(s, UNKNOWN_SCALAR)


def tighten(
    v: i64, m: i64, smin: i64, smax: i64, umin: i64, umax: i64,
    s32_min: i64, s32_max: i64, u32_min: i64, u32_max: i64,
) -> Scalar | None:  # fmt: skip
    """The Scalar with all that bits `v`, `m` and the ranges say about each other, None if no
    value is left (reg_bounds_sync)."""
    # Most scalars of real programs are sizes and indices: one range stands for all four.
    top = lower(v | m, umax)
    if 0 <= top <= S32_MAX:
        # In twos: of more, max() is a call of Python's.
        low = max(max(v, umin), max(smin, max(u32_min, s32_min)))
        if v < 0 or umin < 0:
            low = s64_max()
        most = min(top, min(u32_max, s32_max))
        if smin < S32_MIN:
            # Over the seam of several blocks, smax says nothing of the low half, whose ends
            # replace it in the end (__reg_deduce_mixed_bounds).
            return _tighten_small(v, m, low, most)
        return _tighten_small(v, m, low, min(smax, most))
    if (
        m == -1 == umax
        and umin == 0 == u32_min
        and u32_max == U32_MAX
        and smin == s64_min()
        and smax == s64_max()
        and s32_min == S32_MIN
        and s32_max == S32_MAX
    ):
        return UNKNOWN_SCALAR

    # __update_reg64_bounds, __update_reg32_bounds
    smin = max(smin, smin_of(v, m))
    smax = min(smax, smax_of(v, m))
    umin = higher(umin, v)
    umax = top
    s32_min = max(s32_min, sext32((v & U32_MAX) | (m & SIGN32)))
    s32_max = min(s32_max, sext32((v & U32_MAX) | (m & S32_MAX)))
    u32_min = max(u32_min, v & U32_MAX)
    u32_max = min(u32_max, (v | m) & U32_MAX)

    # __reg_deduce_bounds, which the kernel calls three times
    for _ in range(3):
        if smin > smax or ult(umax, umin) or s32_min > s32_max or u32_min > u32_max:
            return None

        # __reg32_deduce_bounds: a 64-bit range within one block of 2**32 bounds the low half;
        # over the seam of two blocks it bounds it as a signed number around 0.
        distance = ((umax >> 32) & U32_MAX) - ((umin >> 32) & U32_MAX)
        if distance <= 1:
            low = umin & U32_MAX
            high = umax & U32_MAX
            if distance == 0:
                u32_min = max(u32_min, low)
                u32_max = min(u32_max, high)
            elif low >= SIGN32 > high:
                s32_min = max(s32_min, sext32(low))
                s32_max = min(s32_max, high)
        distance = (smax >> 32) - (smin >> 32)
        if distance <= 1:
            low = smin & U32_MAX
            high = smax & U32_MAX
            if distance == 0:
                u32_min = max(u32_min, low)
                u32_max = min(u32_max, high)
            elif low >= SIGN32 > high:
                s32_min = max(s32_min, sext32(low))
                s32_max = min(s32_max, high)
        if u32_min >= SIGN32 or u32_max < SIGN32:
            s32_min = max(s32_min, sext32(u32_min))
            s32_max = min(s32_max, sext32(u32_max))
        if s32_min >= 0 or s32_max < 0:
            u32_min = max(u32_min, s32_min & U32_MAX)
            u32_max = min(u32_max, s32_max & U32_MAX)
        elif u32_max < s32_min & U32_MAX:
            # Only the part of the signed range from 0 on meets the unsigned one.
            s32_min = u32_min
            u32_max = min(u32_max, s32_max)
        elif u32_min > s32_max:
            u32_min = max(u32_min, s32_min & U32_MAX)
            s32_max = sext32(u32_max)

        # __reg64_deduce_bounds: the same between the 64-bit ranges.
        if umin < 0 or umax >= 0:
            smin = max(smin, umin)
            smax = min(smax, umax)
        if smin >= 0 or smax < 0:
            umin = higher(umin, smin)
            umax = lower(umax, smax)
        elif ult(umax, smin):
            smin = umin
            umax = lower(umax, smax)
        elif ult(smax, umin):
            umin = higher(umin, smin)
            smax = umax

        # __reg_deduce_mixed_bounds: the low half sharpens the ends within their block.
        umin = higher(umin, (umin & ~U32_MAX) | u32_min)
        umax = lower(umax, (umax & ~U32_MAX) | u32_max)
        smin = max(smin, (smin & ~U32_MAX) | u32_min)
        smax = min(smax, (smax & ~U32_MAX) | u32_max)
        if s32_min >= 0 and smin >= S32_MIN and smax <= S32_MAX:
            # The value is its own low half, whose ends count even where they say less.
            smin = umin = s32_min
            smax = umax = s32_max
    if smin > smax or ult(umax, umin) or s32_min > s32_max or u32_min > u32_max:
        return None
    if 0 <= umax <= S32_MAX:
        return _tighten_small(v, m, max(umin, max(smin, u32_min)), min(umax, min(smax, u32_max)))

    # __reg_bound_offset
    delta = smear(umin ^ umax)
    if (v ^ umin) & ~(m | delta):
        return None
    known = m & ~delta
    v |= umin & known
    m &= ~known
    delta = smear(u32_min ^ u32_max)
    if (v ^ u32_min) & ~(m | delta) & U32_MAX:
        return None
    known = m & ~delta & U32_MAX
    v |= u32_min & known
    m &= ~known

    # __update_reg_bounds once more
    smin = max(smin, smin_of(v, m))
    smax = min(smax, smax_of(v, m))
    umin = higher(umin, v)
    umax = lower(umax, v | m)
    s32_min = max(s32_min, sext32((v & U32_MAX) | (m & SIGN32)))
    s32_max = min(s32_max, sext32((v & U32_MAX) | (m & S32_MAX)))
    u32_min = max(u32_min, v & U32_MAX)
    u32_max = min(u32_max, (v | m) & U32_MAX)
    if smin > smax or ult(umax, umin) or s32_min > s32_max or u32_min > u32_max:
        return None
    if umin == umax:
        # One value is left: that the bits agree with it has been seen.
        return const(umin) if (umin ^ v) & ~m == 0 else None
    if m & wrap(m + 1) != 0 and _one_member(v, m, umin, umax):
        only = member_from(v, m, umin)
        return const(only) if smin <= only <= smax else None
    return Scalar(v, m, smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max)


def _tighten_small(v: i64, m: i64, low: i64, high: i64) -> Scalar | None:
    """`tighten` for values from low to high, 0 <= low, high < 2**31: all ranges are one."""
    if low >= high:
        return const(low) if low == high and (low ^ v) & ~m == 0 else None
    delta = smear(low ^ high)
    if (v ^ low) & ~(m | delta):
        return None
    v |= low & m & ~delta
    m &= delta
    low = max(low, v)
    high = min(high, v | m)
    if low >= high:
        return const(low) if low == high and (low ^ v) & ~m == 0 else None
    if m & (m + 1) != 0 and _one_member(v, m, low, high):
        return const(member_from(v, m, low))
    return Scalar(v, m, low, high, low, high, low, high, low, high)


def _one_member(v: i64, m: i64, low: i64, high: i64) -> bool:
    """Do the bits leave a single value from `low` to `high` (unsigned), as __update_reg64_bounds
    asks by tnum_step? `high` is at most v | m."""
    first = member_from(v, m, low)
    if ult(high, first):
        return False
    rest = first | ~m
    return rest == -1 or ult(high, wrap(rest + 1) & m | v)


def member_from(v: i64, m: i64, low: i64) -> i64:
    """The least value of the bits that is at least `low` (unsigned), which is at most v | m."""
    near = v | low & m
    if near == low:
        return low
    # Below the highest bit that differs, all is open again.
    below = smear(near ^ low)
    if ult(low, near):
        return near & ~below | v
    return wrap((near | ~m | below) + 1) & m | v
