"""Tristate numbers: what is known of each bit of a 64-bit value (kernel/bpf/tnum.c).

A bit set in `mask` is unknown; all other bits are those of `value`, which is 0 where `mask` is 1.
Values and masks are unsigned 64-bit. Every operation contains the result of each pair of concrete
operands; widths below 64 come from casting the result.
"""

from __future__ import annotations

from typing import NamedTuple

U64_MAX = (1 << 64) - 1
U32_MAX = (1 << 32) - 1
_HIGH = U64_MAX ^ U32_MAX


class Tnum(NamedTuple):
    """struct tnum."""

    value: int
    mask: int

    def __str__(self) -> str:
        return f"({self.value:#x}; {self.mask:#x})"


#: No bit is known (tnum_unknown).
UNKNOWN = Tnum(0, U64_MAX)

# Skips the keyword handling of a NamedTuple's own constructor, which is half the cost of an add.
_new = tuple.__new__


def tnum_const(value: int) -> Tnum:
    """Exactly `value` (unsigned)."""
    return _new(Tnum, (value, 0))


def tnum_range(low: int, high: int) -> Tnum:
    """The smallest tnum with every value from low to high (unsigned, low <= high)."""
    delta = (1 << (low ^ high).bit_length()) - 1
    return _new(Tnum, (low & ~delta, delta))


def tnum_lshift(a: Tnum, shift: int) -> Tnum:
    """a << shift, for 0 <= shift < 64."""
    return _new(Tnum, ((a.value << shift) & U64_MAX, (a.mask << shift) & U64_MAX))


def tnum_rshift(a: Tnum, shift: int) -> Tnum:
    """a >> shift, filled with zeros, for 0 <= shift < 64."""
    return _new(Tnum, (a.value >> shift, a.mask >> shift))


def tnum_arshift(a: Tnum, shift: int, width: int) -> Tnum:
    """The low `width` (32 or 64) bits of a, shifted right and filled with copies of their sign.

    At width 32 the high half of the result is 0. An unknown sign fills with unknown bits.
    """
    full = (1 << width) - 1
    sign = 1 << (width - 1)
    value = (((a.value & full) ^ sign) - sign) >> shift
    mask = (((a.mask & full) ^ sign) - sign) >> shift
    return _new(Tnum, (value & full, mask & full))


def tnum_add(a: Tnum, b: Tnum) -> Tnum:
    """a + b, modulo 2**64: a carry out of unknown bits makes the bits it can reach unknown."""
    av, am = a
    bv, bm = b
    low = av + bv
    unknown = ((low + am + bm) ^ low) | am | bm
    return _new(Tnum, (low & ~unknown & U64_MAX, unknown & U64_MAX))


def tnum_sub(a: Tnum, b: Tnum) -> Tnum:
    """a - b, modulo 2**64."""
    av, am = a
    bv, bm = b
    diff = av - bv
    unknown = ((diff + am) ^ (diff - bm)) | am | bm
    return _new(Tnum, (diff & ~unknown & U64_MAX, unknown & U64_MAX))


def tnum_neg(a: Tnum) -> Tnum:
    """0 - a."""
    return tnum_sub(_ZERO, a)


def tnum_and(a: Tnum, b: Tnum) -> Tnum:
    """a & b: a known 0 on either side decides."""
    av, am = a
    bv, bm = b
    value = av & bv
    return _new(Tnum, (value, (av | am) & (bv | bm) & ~value))


def tnum_or(a: Tnum, b: Tnum) -> Tnum:
    """a | b: a known 1 on either side decides."""
    value = a.value | b.value
    return _new(Tnum, (value, (a.mask | b.mask) & ~value))


def tnum_xor(a: Tnum, b: Tnum) -> Tnum:
    """a ^ b."""
    mask = a.mask | b.mask
    return _new(Tnum, ((a.value ^ b.value) & ~mask, mask))


def tnum_mul(a: Tnum, b: Tnum) -> Tnum:
    """a * b, modulo 2**64: long multiplication; an unknown bit of `a` adds either 0 or b's
    multiple, so the partial sums of both cases are joined."""
    av, am = a
    bv, bm = b
    if not am and not bm:
        return _new(Tnum, ((av * bv) & U64_MAX, 0))
    if am == U64_MAX:
        # Each step makes one more bit unknown, from the lowest bit of b on.
        possible = bv | bm
        return _new(Tnum, (0, -(possible & -possible) & U64_MAX))
    # tnum_add and tnum_union by hand: a product with a 32-bit unknown takes 32 steps.
    value = mask = 0
    while av or am:
        if (av | am) & 1:
            low = value + bv
            unknown = ((low + mask + bm) ^ low) | mask | bm
            low &= ~unknown
            if am & 1:
                unknown |= value ^ low
                low &= value & ~unknown
            value = low & U64_MAX
            mask = unknown & U64_MAX
        av >>= 1
        am >>= 1
        bv = (bv << 1) & U64_MAX
        bm = (bm << 1) & U64_MAX
    return _new(Tnum, (value, mask))


def tnum_ceil(value: int, mask: int, low: int) -> int:
    """The smallest number the tnum (value, mask) allows from `low` on, or 2**64 if there is none
    (tnum_step, which is that of low + 1)."""
    if low <= value:
        return value
    if low > value | mask:
        return 1 << 64
    wrong = (low ^ value) & ~mask
    if not wrong:
        return low
    below = (1 << wrong.bit_length()) - 1
    above = mask & ~below
    if value & wrong > below >> 1:
        # The highest wrong bit goes from 0 to 1; all below it may be least.
        return value | (low & above)
    # It goes from 1 to 0: count up in the unknown bits above.
    return value | (((low | ~above) + 1) & above)


def tnum_floor(value: int, mask: int, high: int) -> int:
    """The largest number the tnum (value, mask) allows up to `high`, or -1 if there is none."""
    return U64_MAX - tnum_ceil(U64_MAX & ~(value | mask), mask, U64_MAX - high)


def tnum_intersect(a: Tnum, b: Tnum) -> Tnum:
    """What both say. Where they contradict each other the bit is a known 1: use tnum_overlap
    first where that can happen."""
    mask = a.mask & b.mask
    return _new(Tnum, ((a.value | b.value) & ~mask, mask))


def tnum_overlap(a: Tnum, b: Tnum) -> bool:
    """Is there a value that both allow?"""
    return not (a.value ^ b.value) & ~(a.mask | b.mask)


def tnum_union(a: Tnum, b: Tnum) -> Tnum:
    """The smallest tnum with all values of both."""
    mask = a.mask | b.mask | (a.value ^ b.value)
    return _new(Tnum, (a.value & b.value & ~mask, mask))


def tnum_cast(a: Tnum, size: int) -> Tnum:
    """The low `size` bytes, zero extended."""
    full = (1 << (size * 8)) - 1
    return _new(Tnum, (a.value & full, a.mask & full))


def tnum_is_aligned(a: Tnum, size: int) -> bool:
    """Is each value a multiple of `size` (a power of two, or 0 for no demand)?"""
    return size == 0 or not (a.value | a.mask) & (size - 1)


def tnum_in(a: Tnum, b: Tnum) -> bool:
    """Does `a` allow every value of `b`?"""
    unknown = a.mask
    return not b.mask & ~unknown and a.value == b.value & ~unknown


def tnum_is_const(a: Tnum) -> bool:
    """Is there only one value?"""
    return a.mask == 0


def tnum_subreg(a: Tnum) -> Tnum:
    """The low 32 bits, zero extended."""
    return _new(Tnum, (a.value & U32_MAX, a.mask & U32_MAX))


def tnum_with_subreg(reg: Tnum, subreg: Tnum) -> Tnum:
    """`reg` with its low 32 bits replaced by those of `subreg`."""
    return _new(
        Tnum,
        (
            (reg.value & _HIGH) | (subreg.value & U32_MAX),
            (reg.mask & _HIGH) | (subreg.mask & U32_MAX),
        ),
    )


def tnum_const_subreg(a: Tnum, value: int) -> Tnum:
    """`a` with its low 32 bits replaced by the constant `value` (unsigned 32-bit)."""
    return _new(Tnum, ((a.value & _HIGH) | value, a.mask & _HIGH))


_ZERO = Tnum(0, 0)
