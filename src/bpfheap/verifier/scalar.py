"""What the verifier knows of a scalar: bits, and signed and unsigned 64- and 32-bit ranges.

The counterpart of the scalar part of struct bpf_reg_state. A `Scalar` stands for all 64-bit values
that every component allows; the components sharpen each other in `tighten`. A combination that
allows no value is None, never a Scalar.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from bpfheap.verifier.tnum import U32_MAX, U64_MAX, UNKNOWN, Tnum, tnum_ceil, tnum_floor

S64_MIN, S64_MAX = -(1 << 63), (1 << 63) - 1
S32_MIN, S32_MAX = -(1 << 31), (1 << 31) - 1
_SIGN64, _SIGN32 = 1 << 63, 1 << 31
_HIGH = U64_MAX ^ U32_MAX

# Skips the keyword handling of a NamedTuple's own constructor (see tnum.py).
_new = tuple.__new__


class Scalar(NamedTuple):
    """All ends are inclusive, in their natural ranges: s* signed, u* unsigned."""

    tnum: Tnum
    smin: int
    smax: int
    umin: int
    umax: int
    s32_min: int
    s32_max: int
    u32_min: int
    u32_max: int

    @staticmethod
    def unknown() -> Scalar:
        """Any value (__mark_reg_unknown)."""
        return UNKNOWN_SCALAR

    @staticmethod
    def const(value: int) -> Scalar:
        """Exactly `value`, given signed or unsigned (__mark_reg_known)."""
        return const(value)

    @property
    def is_const(self) -> bool:
        """Is there only one value?"""
        return self[0][1] == 0

    @property
    def const_value(self) -> int:
        """The only value, unsigned; meaningful only if `is_const`."""
        return self[0][0]

    def contains(self, x: int) -> bool:
        """Is the unsigned 64-bit value `x` among the values?"""
        low = x & U32_MAX
        return (
            x & ~self.tnum.mask == self.tnum.value
            and self.umin <= x <= self.umax
            and self.smin <= (x ^ _SIGN64) - _SIGN64 <= self.smax
            and self.u32_min <= low <= self.u32_max
            and self.s32_min <= (low ^ _SIGN32) - _SIGN32 <= self.s32_max
        )


@lru_cache(maxsize=4096)
def const(value: int) -> Scalar:
    """Exactly `value`, given signed or unsigned (__mark_reg_known)."""
    value &= U64_MAX
    low = value & U32_MAX
    signed = (value ^ _SIGN64) - _SIGN64
    signed_low = (low ^ _SIGN32) - _SIGN32
    return Scalar(Tnum(value, 0), signed, signed, value, value, signed_low, signed_low, low, low)


#: Any 64-bit value.
UNKNOWN_SCALAR = Scalar(UNKNOWN, S64_MIN, S64_MAX, 0, U64_MAX, S32_MIN, S32_MAX, 0, U32_MAX)


def subset(a: Scalar, b: Scalar) -> bool:
    """Is each component of `a` within that of `b` (range_within and tnum_in)?"""
    if a is b or b is UNKNOWN_SCALAR:
        return True
    (av, am), asmin, asmax, aumin, aumax, as32_min, as32_max, au32_min, au32_max = a
    (bv, bm), bsmin, bsmax, bumin, bumax, bs32_min, bs32_max, bu32_min, bu32_max = b
    return (
        bumin <= aumin
        and bumax >= aumax
        and bsmin <= asmin
        and bsmax >= asmax
        and bu32_min <= au32_min
        and bu32_max >= au32_max
        and bs32_min <= as32_min
        and bs32_max >= as32_max
        and not am & ~bm
        and bv == av & ~bm
    )


def sync(s: Scalar) -> Scalar | None:
    """`s` with all that its components say about each other, None if no value is left
    (reg_bounds_sync)."""
    (v, m), smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max = s
    return tighten(v, m, smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max)


def tighten(
    v: int, m: int, smin: int, smax: int, umin: int, umax: int,
    s32_min: int, s32_max: int, u32_min: int, u32_max: int,
) -> Scalar | None:  # fmt: skip
    """The Scalar with all that bits `v`, `m` and the ranges say about each other, None if no
    value is left (reg_bounds_sync)."""
    # Most scalars of real programs are sizes and indices: one range stands for all four.
    top = v | m
    if (umax if umax < top else top) <= S32_MAX:
        return _tighten_small(
            v, m,
            max(v, umin, smin, u32_min, s32_min),
            min(top, umax, smax, u32_max, s32_max),
        )  # fmt: skip

    if (
        m == U64_MAX == umax
        and umin == 0 == u32_min
        and u32_max == U32_MAX
        and smin == S64_MIN
        and smax == S64_MAX
        and s32_min == S32_MIN
        and s32_max == S32_MAX
    ):
        return UNKNOWN_SCALAR

    # __update_reg64_bounds, __update_reg32_bounds
    if umin & ~m != v:
        umin = tnum_ceil(v, m, umin)
    if umax & ~m != v:
        umax = tnum_floor(v, m, umax)
    if umin > umax:
        return None
    bound = ((v | (m & _SIGN64)) ^ _SIGN64) - _SIGN64
    if bound > smin:
        smin = bound
    bound = ((v | (m & S64_MAX)) ^ _SIGN64) - _SIGN64
    if bound < smax:
        smax = bound
    low_v = v & U32_MAX
    low_m = m & U32_MAX
    if low_v > u32_min:
        u32_min = low_v
    if low_v | low_m < u32_max:
        u32_max = low_v | low_m
    bound = ((low_v | (low_m & _SIGN32)) ^ _SIGN32) - _SIGN32
    if bound > s32_min:
        s32_min = bound
    bound = ((low_v | (low_m & S32_MAX)) ^ _SIGN32) - _SIGN32
    if bound < s32_max:
        s32_max = bound

    # __reg_deduce_bounds, which the kernel calls three times
    for _ in (1, 2, 3):
        before = (smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max)
        if smin > smax or umin > umax or s32_min > s32_max or u32_min > u32_max:
            return None

        # __reg32_deduce_bounds: a 64-bit range within one block of 2**32 bounds the low half;
        # over the seam of two blocks it bounds it as a signed number around 0.
        distance = (umax >> 32) - (umin >> 32)
        if distance == 0:
            low = umin & U32_MAX
            high = umax & U32_MAX
            if low > u32_min:
                u32_min = low
            if high < u32_max:
                u32_max = high
        elif distance == 1:
            low = umin & U32_MAX
            high = umax & U32_MAX
            if low >= _SIGN32 > high:
                if low - (1 << 32) > s32_min:
                    s32_min = low - (1 << 32)
                if high < s32_max:
                    s32_max = high
        distance = (smax >> 32) - (smin >> 32)
        if distance == 0:
            low = smin & U32_MAX
            high = smax & U32_MAX
            if low > u32_min:
                u32_min = low
            if high < u32_max:
                u32_max = high
        elif distance == 1:
            low = smin & U32_MAX
            high = smax & U32_MAX
            if low >= _SIGN32 > high:
                if low - (1 << 32) > s32_min:
                    s32_min = low - (1 << 32)
                if high < s32_max:
                    s32_max = high
        if u32_min >= _SIGN32 or u32_max < _SIGN32:
            low = (u32_min ^ _SIGN32) - _SIGN32
            high = (u32_max ^ _SIGN32) - _SIGN32
            if low > s32_min:
                s32_min = low
            if high < s32_max:
                s32_max = high
        if s32_min >= 0 or s32_max < 0:
            low = s32_min & U32_MAX
            high = s32_max & U32_MAX
            if low > u32_min:
                u32_min = low
            if high < u32_max:
                u32_max = high
        elif u32_max < s32_min & U32_MAX:
            # Only the part of the signed range from 0 on meets the unsigned one.
            s32_min = u32_min
            if s32_max < u32_max:
                u32_max = s32_max
        elif u32_min > s32_max:
            if s32_min & U32_MAX > u32_min:
                u32_min = s32_min & U32_MAX
            s32_max = u32_max - (1 << 32)

        # __reg64_deduce_bounds: the same between the 64-bit ranges.
        if umin >= _SIGN64 or umax < _SIGN64:
            low = (umin ^ _SIGN64) - _SIGN64
            high = (umax ^ _SIGN64) - _SIGN64
            if low > smin:
                smin = low
            if high < smax:
                smax = high
        if smin >= 0 or smax < 0:
            low = smin & U64_MAX
            high = smax & U64_MAX
            if low > umin:
                umin = low
            if high < umax:
                umax = high
        elif umax < smin & U64_MAX:
            smin = umin
            if smax < umax:
                umax = smax
        elif umin > smax:
            if smin & U64_MAX > umin:
                umin = smin & U64_MAX
            smax = umax - (1 << 64)

        # __reg_deduce_mixed_bounds: the low half sharpens the ends within their block.
        low = (umin & _HIGH) | u32_min
        high = (umax & _HIGH) | u32_max
        if low > umin:
            umin = low
        if high < umax:
            umax = high
        low = (smin & ~U32_MAX) | u32_min
        high = (smax & ~U32_MAX) | u32_max
        if low > smin:
            smin = low
        if high < smax:
            smax = high
        if smin >= S32_MIN and smax <= S32_MAX:
            # The value is its own low half, sign extended.
            if s32_min > smin:
                smin = s32_min
            if s32_max < smax:
                smax = s32_max

        if before == (smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max):
            break
    if smin > smax or umin > umax or s32_min > s32_max or u32_min > u32_max:
        return None
    if umax <= S32_MAX:
        return _tighten_small(v, m, max(umin, smin, u32_min), min(umax, smax, u32_max))

    # __reg_bound_offset; the ends become numbers that the bits allow, so that they agree with
    # the bits they share.
    delta = (1 << (u32_min ^ u32_max).bit_length()) - 1
    if (v ^ u32_min) & ~(m | delta) & U32_MAX:
        return None
    known = m & ~delta & U32_MAX
    v |= u32_min & known
    m ^= known
    if umin & ~m != v:
        umin = tnum_ceil(v, m, umin)
    if umax & ~m != v:
        umax = tnum_floor(v, m, umax)
    if umin >= umax:
        if umin > umax:
            return None
        s = const(umin)
        if not (smin <= s.smin <= smax and s32_min <= s.s32_min <= s32_max):
            return None
        return s if u32_min <= s.u32_min <= u32_max else None
    delta = (1 << (umin ^ umax).bit_length()) - 1
    v = (umin & ~delta) | (v & delta)
    m &= delta

    # __update_reg_bounds once more
    bound = ((v | (m & _SIGN64)) ^ _SIGN64) - _SIGN64
    if bound > smin:
        smin = bound
    bound = ((v | (m & S64_MAX)) ^ _SIGN64) - _SIGN64
    if bound < smax:
        smax = bound
    low_v = v & U32_MAX
    low_m = m & U32_MAX
    if low_v > u32_min:
        u32_min = low_v
    if low_v | low_m < u32_max:
        u32_max = low_v | low_m
    bound = ((low_v | (low_m & _SIGN32)) ^ _SIGN32) - _SIGN32
    if bound > s32_min:
        s32_min = bound
    bound = ((low_v | (low_m & S32_MAX)) ^ _SIGN32) - _SIGN32
    if bound < s32_max:
        s32_max = bound
    if smin > smax or umin > umax or s32_min > s32_max or u32_min > u32_max:
        return None
    tnum = _new(Tnum, (v, m))
    return _new(Scalar, (tnum, smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max))


def _tighten_small(v: int, m: int, low: int, high: int) -> Scalar | None:
    """`tighten` for values from low to high, 0 <= low, high < 2**31: all ranges are one."""
    if low & ~m != v:
        low = tnum_ceil(v, m, low)
    if high & ~m != v:
        high = tnum_floor(v, m, high)
    if low >= high:
        return const(low) if low == high else None
    delta = (1 << (low ^ high).bit_length()) - 1
    tnum = _new(Tnum, ((low & ~delta) | (v & delta), m & delta))
    return _new(Scalar, (tnum, low, high, low, high, low, high, low, high))
