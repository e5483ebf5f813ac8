"""What arithmetic does to scalars (adjust_scalar_min_max_vals and its scalar*_min_max_* functions,
Linux 6.18).

Semantics of the concrete operations: RFC 9669 section 4.1. A 32-bit operation works on the low
halves and zero-extends its result.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from bpfheap.verifier.domain.scalar import UNKNOWN_SCALAR, Scalar, const, tighten
from bpfheap.verifier.domain.tnum import (
    tnum_add,
    tnum_and,
    tnum_arshift,
    tnum_lshift,
    tnum_mul,
    tnum_or,
    tnum_rshift,
    tnum_sub,
    tnum_xor,
)
from bpfheap.verifier.domain.word import (
    S32_MAX,
    S32_MIN,
    SIGN32,
    U32_MAX,
    higher,
    lower,
    lsr,
    ones,
    s64_max,
    s64_min,
    sext,
    sext32,
    ult,
    unsigned,
    wrap,
)

# The operations, as numbers that compiled code compares fast.
ADD: Final = 0
SUB: Final = 1
MUL: Final = 2
AND: Final = 3
OR: Final = 4
XOR: Final = 5
LSH: Final = 6
RSH: Final = 7
ARSH: Final = 8
DIV: Final = 9
MOD: Final = 10
SDIV: Final = 11
SMOD: Final = 12

#: By the names of the instruction table; neg is 0 - dst, mov is no operation.
ALU_CODE: dict[str, int] = {
    "add": ADD, "sub": SUB, "mul": MUL, "and": AND, "or": OR, "xor": XOR, "lsh": LSH, "rsh": RSH,
    "arsh": ARSH, "div": DIV, "mod": MOD, "sdiv": SDIV, "smod": SMOD,
}  # fmt: skip

_ZERO = const(0)
# smin, smax, umin, umax
_Range = tuple[i64, i64, i64, i64]


def alu(code: i64, width: i64, dst: Scalar, src: Scalar) -> Scalar:
    """dst `code` src on `width` (32 or 64) bits."""
    if code >= DIV:
        # Not even of constants does Linux compute it (is_safe_to_compute_dst_reg_range).
        return UNKNOWN_SCALAR
    if code >= LSH:
        return _shift64(code, dst, src) if width == 64 else _shift32(code, dst, src)
    if width == 64:
        if dst.m == 0 == src.m:
            return const(_exact(code, dst.v, src.v))
        return _alu64(code, dst, src)
    if dst.u32_min == dst.u32_max and src.u32_min == src.u32_max:
        return const(_exact(code, dst.u32_min, src.u32_min) & U32_MAX)
    return _alu32(code, dst, src)


def negated(width: i64, dst: Scalar) -> Scalar:
    """0 - dst."""
    return alu(SUB, width, _ZERO, dst)


def _exact(code: i64, a: i64, b: i64) -> i64:
    if code == ADD:
        return wrap(a + b)
    if code == SUB:
        return wrap(a - b)
    if code == MUL:
        return wrap(a * b)
    if code == AND:
        return a & b
    if code == OR:
        return a | b
    return a ^ b


def _alu64(code: i64, d: Scalar, s: Scalar) -> Scalar:
    """An operation whose low half depends on the low halves of its operands only."""
    v, m = _bits(code, d.v, d.m, s.v, s.m)
    if code == ADD:
        smin, smax, umin, umax = _add64(
            d.smin, d.smax, d.umin, d.umax, s.smin, s.smax, s.umin, s.umax
        )
    elif code == SUB:
        smin, smax, umin, umax = _sub64(
            d.smin, d.smax, d.umin, d.umax, s.smin, s.smax, s.umin, s.umax
        )
    elif code == MUL:
        smin, smax, umin, umax = _mul64(
            d.smin, d.smax, d.umin, d.umax, s.smin, s.smax, s.umin, s.umax
        )
    else:
        umin, umax = v, v | m
        smin, smax = s64_min(), s64_max()
        if code == AND:
            umax = lower(d.umax, s.umax)
        elif code == OR:
            umin = higher(d.umin, s.umin)
    if 0 <= d.umax <= S32_MAX and 0 <= s.umax <= S32_MAX:
        # The low halves are the operands: computing them again would say nothing more.
        out = tighten(v, m, smin, smax, umin, umax, S32_MIN, S32_MAX, 0, U32_MAX)
    else:
        s32_min, s32_max, u32_min, u32_max = _range32(code, v, m, d, s)
        out = tighten(v, m, smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max)
    return UNKNOWN_SCALAR if out is None else out


def _alu32(code: i64, d: Scalar, s: Scalar) -> Scalar:
    v, m = _bits(code, d.v, d.m, s.v, s.m)
    v &= U32_MAX
    m &= U32_MAX
    smin, smax, umin, umax = _range32(code, v, m, d, s)
    return _low32(v, m, smin, smax, umin, umax)


def _low32(v: i64, m: i64, smin: i64, smax: i64, umin: i64, umax: i64) -> Scalar:
    """A 32-bit result, zero-extended (zext_32_to_64)."""
    out = tighten(v, m, 0, U32_MAX, umin, umax, smin, smax, umin, umax)
    return U32_SCALAR if out is None else out


def _bits(code: i64, av: i64, am: i64, bv: i64, bm: i64) -> tuple[i64, i64]:
    if code == ADD:
        return tnum_add(av, am, bv, bm)
    if code == SUB:
        return tnum_sub(av, am, bv, bm)
    if code == MUL:
        return tnum_mul(av, am, bv, bm)
    if code == AND:
        return tnum_and(av, am, bv, bm)
    if code == OR:
        return tnum_or(av, am, bv, bm)
    return tnum_xor(av, am, bv, bm)


def _add64(
    dsmin: i64, dsmax: i64, dumin: i64, dumax: i64, ssmin: i64, ssmax: i64, sumin: i64, sumax: i64
) -> _Range:
    """scalar_min_max_add: ends stay ends if both overflow alike."""
    umin, umax = wrap(dumin + sumin), wrap(dumax + sumax)
    if ult(umin, dumin) != ult(umax, dumax):
        umin, umax = 0, -1
    smin, smax = wrap(dsmin + ssmin), wrap(dsmax + ssmax)
    under = (dsmin ^ smin) & (ssmin ^ smin) < 0
    over = (dsmax ^ smax) & (ssmax ^ smax) < 0
    if (under or over) and not (under and over and (dsmin < 0) == (dsmax < 0)):
        smin, smax = s64_min(), s64_max()
    return smin, smax, umin, umax


def _sub64(
    dsmin: i64, dsmax: i64, dumin: i64, dumax: i64, ssmin: i64, ssmax: i64, sumin: i64, sumax: i64
) -> _Range:
    """scalar_min_max_sub."""
    umin, umax = wrap(dumin - sumax), wrap(dumax - sumin)
    if ult(dumin, sumax) != ult(dumax, sumin):
        umin, umax = 0, -1
    smin, smax = wrap(dsmin - ssmax), wrap(dsmax - ssmin)
    under = (dsmin ^ ssmax) & (dsmin ^ smin) < 0
    over = (dsmax ^ ssmin) & (dsmax ^ smax) < 0
    if (under or over) and not (under and over and (dsmin < 0) == (dsmax < 0)):
        smin, smax = s64_min(), s64_max()
    return smin, smax, umin, umax


def _mul64(
    dsmin: i64, dsmax: i64, dumin: i64, dumax: i64, ssmin: i64, ssmax: i64, sumin: i64, sumax: i64
) -> _Range:
    """scalar_min_max_mul: nothing is known once a product overflows."""
    smin, smax = s64_min(), s64_max()
    umin: i64 = 0
    umax: i64 = -1
    if 0 <= dumax <= S32_MAX and 0 <= sumax <= S32_MAX:
        low, high = dumin * sumin, dumax * sumax
        return low, high, low, high
    if unsigned(dumax) * unsigned(sumax) < 1 << 64:
        umin, umax = wrap(dumin * sumin), wrap(dumax * sumax)
    a: int = dsmin
    b: int = dsmax
    c: int = ssmin
    d: int = ssmax
    ends = (a * c, a * d, b * c, b * d)
    low_end, high_end = min(ends), max(ends)
    if low_end >= -(1 << 63) and high_end < 1 << 63:
        smin, smax = low_end, high_end
    return smin, smax, umin, umax


def _range32(code: i64, v: i64, m: i64, d: Scalar, s: Scalar) -> _Range:
    """The scalar32_min_max_* functions; `v`, `m` are the result's bits."""
    umin, umax = v & U32_MAX, (v | m) & U32_MAX
    if code == ADD:
        return _wrapped32(
            d.s32_min + s.s32_min, d.s32_max + s.s32_max,
            d.u32_min + s.u32_min, d.u32_max + s.u32_max,
        )  # fmt: skip
    if code == SUB:
        return _wrapped32(
            d.s32_min - s.s32_max, d.s32_max - s.s32_min,
            d.u32_min - s.u32_max, d.u32_max - s.u32_min,
        )  # fmt: skip
    if code == MUL:
        return _mul32(d, s)
    if code == AND:
        return S32_MIN, S32_MAX, umin, min(d.u32_max, s.u32_max)
    if code == OR:
        umin = max(d.u32_min, s.u32_min)
    return S32_MIN, S32_MAX, umin, umax


def _wrapped32(smin: i64, smax: i64, umin: i64, umax: i64) -> _Range:
    """Exact ends of a result, brought into 32 bits: they stay ends if both overflow alike."""
    if umin >> 32 == umax >> 32:
        umin &= U32_MAX
        umax &= U32_MAX
    else:
        umin, umax = 0, U32_MAX
    if (smin + 0x80000000) >> 32 == (smax + 0x80000000) >> 32:
        return sext32(smin), sext32(smax), umin, umax
    return S32_MIN, S32_MAX, umin, umax


def _mul32(d: Scalar, s: Scalar) -> _Range:
    umin: i64 = 0
    umax: i64 = U32_MAX
    # Either factor is below 2**32, so a product that does not fit 64 bits wraps to any pattern;
    # one that fits has nothing above bit 31 or is too large.
    if d.u32_max == 0 or lsr(-1, 32) // d.u32_max >= s.u32_max:
        umin, umax = d.u32_min * s.u32_min, d.u32_max * s.u32_max
    a, b = d.s32_min * s.s32_min, d.s32_min * s.s32_max
    c, e = d.s32_max * s.s32_min, d.s32_max * s.s32_max
    smin, smax = min(min(a, b), min(c, e)), max(max(a, b), max(c, e))
    if smin < S32_MIN or smax > S32_MAX:
        smin, smax = S32_MIN, S32_MAX
    return smin, smax, umin, umax


def _shift64(code: i64, d: Scalar, src: Scalar) -> Scalar:
    """scalar_min_max_lsh, _rsh and _arsh; unknown unless the amount is a constant below 64."""
    n = src.v
    if src.m != 0 or not 0 <= n < 64:
        return UNKNOWN_SCALAR
    if code == LSH:
        v, m = tnum_lshift(d.v, d.m, n)
        smin, smax, umin, umax = s64_min(), s64_max(), v, v | m
        # As Linux has it; one bit more would fit.
        if not ult(lsr(s64_min(), n), d.umax):
            umin, umax = wrap(d.umin << n), wrap(d.umax << n)
        if n == 32:
            # The low half becomes the high half: with arsh 32 this is a sign extension.
            smin, smax = d.s32_min << 32, d.s32_max << 32
        u32_min: i64 = 0
        u32_max: i64 = U32_MAX
        if d.u32_max <= SIGN32 >> n:
            u32_min, u32_max = d.u32_min << n, d.u32_max << n
        out = tighten(v, m, smin, smax, umin, umax, S32_MIN, S32_MAX, u32_min, u32_max)
    elif code == RSH:
        v, m = tnum_rshift(d.v, d.m, n)
        out = tighten(
            v, m, s64_min(), s64_max(), lsr(d.umin, n), lsr(d.umax, n), S32_MIN, S32_MAX, 0, U32_MAX
        )
    else:
        v, m = tnum_arshift(d.v, d.m, n)
        out = tighten(v, m, d.smin >> n, d.smax >> n, 0, -1, S32_MIN, S32_MAX, 0, U32_MAX)
    return UNKNOWN_SCALAR if out is None else out


def _shift32(code: i64, d: Scalar, src: Scalar) -> Scalar:
    """scalar32_min_max_lsh, _rsh and _arsh; unknown unless the amount is a constant below 32."""
    n = src.u32_min
    if n != src.u32_max or ult(31, src.umax):
        return UNKNOWN_SCALAR
    if code == LSH:
        v, m = tnum_lshift(d.v & U32_MAX, d.m & U32_MAX, n)
        v &= U32_MAX
        m &= U32_MAX
        if d.u32_max <= SIGN32 >> n:
            return _low32(v, m, S32_MIN, S32_MAX, d.u32_min << n, d.u32_max << n)
        return _low32(v, m, S32_MIN, S32_MAX, v, v | m)
    if code == RSH:
        v, m = (d.v & U32_MAX) >> n, (d.m & U32_MAX) >> n
        return _low32(v, m, S32_MIN, S32_MAX, d.u32_min >> n, d.u32_max >> n)
    v, m = sext32(d.v) >> n & U32_MAX, sext32(d.m) >> n & U32_MAX
    return _low32(v, m, d.s32_min >> n, d.s32_max >> n, 0, U32_MAX)


def cast(s: Scalar, bits: i64, signed: bool) -> Scalar:
    """The low `bits` (8, 16, 32, 64) bits of s, zero- or sign-extended to 64.

    coerce_reg_to_size, coerce_reg_to_size_sx and zext_32_to_64.
    """
    if bits >= 64:
        return s
    full = ones(bits)
    if s.m == 0:
        return const(sext(s.v, bits) if signed else s.v & full)
    if signed:
        return _sign_extended(s.smin, s.smax, bits)
    if not ult(full, s.umax):
        return s
    v, m = s.v & full, s.m & full
    low, high = 0, full
    if s.u32_min >> bits == s.u32_max >> bits:
        low, high = s.u32_min & full, s.u32_max & full
    if bits < 32:
        out = tighten(v, m, low, high, low, high, S32_MIN, S32_MAX, low, high)
    else:
        out = tighten(v, m, low, high, low, high, s.s32_min, s.s32_max, low, high)
    return load_bounds(bits, False) if out is None else out


def cast_half(s: Scalar, bits: i64) -> Scalar:
    """The low `bits` (8, 16) bits of s, sign-extended to 32 and then zero-extended to 64
    (coerce_subreg_to_size_sx)."""
    if s.m & 0xFFFFFFFF == 0:
        return const(sext(s.v, bits) & 0xFFFFFFFF)
    return cast(_sign_extended(s.s32_min, s.s32_max, bits), 32, False)


def _sign_extended(smin: i64, smax: i64, bits: i64) -> Scalar:
    """Known bits are forgotten, and so are ends of different signs, or with different bits
    above, as Linux does."""
    low, high = sext(smin, bits), sext(smax, bits)
    if smin >> bits != smax >> bits or (low < 0) != (high < 0):
        return load_bounds(bits, True)
    first, last = min(low, high), max(low, high)
    out = tighten(0, -1, first, last, 0, -1, first, last, 0, U32_MAX)
    return load_bounds(bits, True) if out is None else out


def with_low_half(s: Scalar, half: i64) -> Scalar:
    """The number whose low half is `half` (-1 or 0), as far as s allows that
    (__mark_reg32_known)."""
    low = half & 0xFFFFFFFF
    high_bits: i64 = -0x100000000
    out = tighten(
        s.v & high_bits | low, s.m & high_bits, s.smin, s.smax, s.umin, s.umax,
        half, half, low, low,
    )  # fmt: skip
    return const(low) if out is None else out


def load_bounds(bits: i64, signed: bool) -> Scalar:
    """Any value of a load of `bits` (8, 16, 32, 64) bits that is zero- or sign-extended."""
    if bits >= 64:
        return UNKNOWN_SCALAR
    if signed:
        return _S32 if bits == 32 else _S16 if bits == 16 else _S8
    return U32_SCALAR if bits == 32 else _U16 if bits == 16 else _U8


def _any(bits: i64, signed: bool) -> Scalar:
    full = ones(bits)
    sign = (full >> 1) + 1
    if signed:
        out = tighten(0, -1, -sign, sign - 1, 0, -1, S32_MIN, S32_MAX, 0, U32_MAX)
    else:
        out = tighten(0, full, 0, full, 0, full, S32_MIN, S32_MAX, 0, U32_MAX)
    assert out is not None
    return out


_U8 = _any(8, False)
_U16 = _any(16, False)
U32_SCALAR = _any(32, False)
_S8 = _any(8, True)
_S16 = _any(16, True)
_S32 = _any(32, True)


def byteswap(name: str, width: i64, s: Scalar) -> Scalar:
    """le, be or bswap on the low `width` (16, 32, 64) bits of s, zero-extended (RFC 9669 section
    4.2), on a little-endian machine: le only truncates."""
    if name == "le":
        return cast(s, width, False)
    v, m = _swapped(s.v, width), _swapped(s.m, width)
    out = tighten(v, m, s64_min(), s64_max(), 0, -1, S32_MIN, S32_MAX, 0, U32_MAX)
    return UNKNOWN_SCALAR if out is None else out


def _swapped(x: i64, width: i64) -> i64:
    out: i64 = 0
    at: i64 = 0
    while at < width:
        out = wrap(out << 8) | (x >> at & 0xFF)
        at += 8
    return out
