"""Tristate numbers: what is known of each bit of a 64-bit value (kernel/bpf/tnum.c).

A tnum is a pair of words (v, m): a bit set in `m` is unknown; all other bits are those of `v`,
which is 0 where `m` is 1. Every operation contains the result of each pair of concrete operands;
widths below 64 come from cutting the result.
"""

from __future__ import annotations

from mypy_extensions import i64

from bpfheap.verifier.domain.word import lsr, s64_max, s64_min, wrap

Bits = tuple[i64, i64]


def tnum_lshift(v: i64, m: i64, shift: i64) -> Bits:
    """<< shift, for 0 <= shift < 64."""
    return wrap(v << shift), wrap(m << shift)


def tnum_rshift(v: i64, m: i64, shift: i64) -> Bits:
    """>> shift, filled with zeros, for 0 <= shift < 64."""
    return lsr(v, shift), lsr(m, shift)


def tnum_arshift(v: i64, m: i64, shift: i64) -> Bits:
    """>> shift, filled with copies of the sign; an unknown sign fills with unknown bits."""
    return v >> shift, m >> shift


def tnum_add(av: i64, am: i64, bv: i64, bm: i64) -> Bits:
    """a + b: a carry out of unknown bits makes the bits it can reach unknown."""
    low = wrap(av + bv)
    unknown = (wrap(wrap(low + am) + bm) ^ low) | am | bm
    return low & ~unknown, unknown


def tnum_sub(av: i64, am: i64, bv: i64, bm: i64) -> Bits:
    """a - b."""
    low = wrap(av - bv)
    unknown = (wrap(low + am) ^ wrap(low - bm)) | am | bm
    return low & ~unknown, unknown


def tnum_and(av: i64, am: i64, bv: i64, bm: i64) -> Bits:
    """a & b: a known 0 on either side decides."""
    value = av & bv
    return value, (av | am) & (bv | bm) & ~value


def tnum_or(av: i64, am: i64, bv: i64, bm: i64) -> Bits:
    """a | b: a known 1 on either side decides."""
    value = av | bv
    return value, (am | bm) & ~value


def tnum_xor(av: i64, am: i64, bv: i64, bm: i64) -> Bits:
    """a ^ b."""
    mask = am | bm
    return (av ^ bv) & ~mask, mask


def tnum_mul(av: i64, am: i64, bv: i64, bm: i64) -> Bits:
    """a * b: long multiplication; an unknown bit of `a` adds either 0 or b's multiple, so the
    partial sums of both cases are joined."""
    if am == 0 and bm == 0:
        return wrap(av * bv), 0
    if am == -1:
        # Each step makes one more bit unknown, from the lowest bit of b on.
        possible = bv | bm
        return 0, wrap(-(possible & -possible))
    v: i64 = 0
    m: i64 = 0
    while (av | am) != 0:
        v, m = tnum_mul_step(v, m, av, am, bv, bm)
        av = lsr(av, 1)
        am = lsr(am, 1)
        bv = wrap(bv << 1)
        bm = wrap(bm << 1)
    return v, m


def tnum_mul_step(v: i64, m: i64, av: i64, am: i64, bv: i64, bm: i64) -> Bits:
    """The sum (v, m), and b more if the lowest bit of a is set."""
    if (av | am) & 1 == 0:
        return v, m
    sv, sm = tnum_add(v, m, bv, bm)
    return tnum_union(v, m, sv, sm) if am & 1 else (sv, sm)


def tnum_union(av: i64, am: i64, bv: i64, bm: i64) -> Bits:
    """The smallest tnum with all values of both."""
    mask = am | bm | (av ^ bv)
    return av & bv & ~mask, mask


def smin_of(v: i64, m: i64) -> i64:
    """The least value that the bits allow, signed."""
    return v | (m & s64_min())


def smax_of(v: i64, m: i64) -> i64:
    """The greatest value that the bits allow, signed."""
    return v | (m & s64_max())
