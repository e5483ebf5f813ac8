"""What arithmetic does to scalars (adjust_scalar_min_max_vals and its scalar*_min_max_* functions).

Semantics of the concrete operations: RFC 9669 section 4.1. A 32-bit operation works on the low
halves and zero-extends its result.
"""

from __future__ import annotations

from collections.abc import Callable

from bpfheap.verifier.scalar import (
    S32_MAX,
    S32_MIN,
    S64_MAX,
    S64_MIN,
    UNKNOWN_SCALAR,
    Scalar,
    const,
    tighten,
)
from bpfheap.verifier.tnum import (
    U32_MAX,
    U64_MAX,
    Tnum,
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

# smin, smax, umin, umax of `bits` bits.
_Range = tuple[int, int, int, int]


def alu(name: str, width: int, dst: Scalar, src: Scalar) -> Scalar:
    """dst `name` src on `width` (32 or 64) bits; neg ignores src, mov ignores dst.

    `name` is one of add sub mul div sdiv or and lsh rsh mod smod xor mov neg arsh.
    """
    if name == "mov":
        return src if width == 64 else cast(src, 32, False)
    if name == "neg":
        name, dst, src = "sub", _ZERO, dst
    if width == 64:
        if not dst[0][1] and not src[0][1]:
            return const(_CONCRETE[name](dst[0][0], src[0][0], 64))
        if name in _SHIFTS:
            return _shift64(name, dst, src)
        if name in _DIVISIONS:
            return _divide(name, dst, src)
        return _alu64(name, dst, src)
    if dst[7] == dst[8] and src[7] == src[8]:
        return const(_CONCRETE[name](dst[7], src[7], 32) & U32_MAX)
    if name in _SHIFTS:
        return _shift32(name, dst, src)
    if name in _DIVISIONS:
        return _divide(name, cast(dst, 32, False), cast(src, 32, False), 32)
    return _alu32(name, dst, src)


def cast(s: Scalar, bits: int, signed: bool) -> Scalar:
    """The low `bits` (8, 16, 32, 64) bits of s, zero- or sign-extended to 64.

    coerce_reg_to_size, coerce_reg_to_size_sx and zext_32_to_64.
    """
    (v, m), smin, smax, _, umax, s32_min, s32_max, u32_min, u32_max = s
    sign = 1 << (bits - 1)
    if signed:
        if -sign <= smin and smax < sign:
            return s
    elif umax < sign << 1:
        return s
    full = (sign << 1) - 1
    if not m:
        v &= full
        return const((v ^ sign) - sign if signed else v)
    v &= full
    m &= full
    if signed:
        # The low bits repeat every 2**bits: within one such block the ends stay the ends.
        low, high = -sign, sign - 1
        if (s32_min + sign) >> bits == (s32_max + sign) >> bits:
            low = ((s32_min & full) ^ sign) - sign
            high = ((s32_max & full) ^ sign) - sign
        v = ((v ^ sign) - sign) & U64_MAX
        m = ((m ^ sign) - sign) & U64_MAX
        out = tighten(
            v, m, low, high, 0, U64_MAX, max(low, S32_MIN), min(high, S32_MAX), 0, U32_MAX
        )
    else:
        low, high = 0, full
        if u32_min >> bits == u32_max >> bits:
            low, high = u32_min & full, u32_max & full
        if bits < 32:
            s32_min, s32_max = S32_MIN, S32_MAX
        out = tighten(v, m, low, high, low, high, s32_min, s32_max, low, high)
    return load_bounds(bits, signed) if out is None else out


def load_bounds(bits: int, signed: bool) -> Scalar:
    """Any value of a load of `bits` (8, 16, 32, 64) bits that is zero- or sign-extended."""
    return _LOADS[bits, signed]


def byteswap(name: str, width: int, s: Scalar) -> Scalar:
    """le, be or bswap on the low `width` (16, 32, 64) bits of s, zero-extended (RFC 9669 section
    4.2), on a little-endian machine: le only truncates."""
    if name == "le":
        return cast(s, width, False)
    full = (1 << width) - 1
    size = width // 8
    value = int.from_bytes((s[0][0] & full).to_bytes(size, "little"), "big")
    mask = int.from_bytes((s[0][1] & full).to_bytes(size, "little"), "big")
    return _from_bits(value, mask)


def _from_bits(v: int, m: int) -> Scalar:
    """All that follows from the bits alone, which contradict nothing."""
    out = tighten(v, m, S64_MIN, S64_MAX, 0, U64_MAX, S32_MIN, S32_MAX, 0, U32_MAX)
    return UNKNOWN_SCALAR if out is None else out


def _alu64(name: str, dst: Scalar, src: Scalar) -> Scalar:
    """An operation whose low half depends on the low halves of its operands only."""
    dt, dsmin, dsmax, dumin, dumax, ds32_min, ds32_max, du32_min, du32_max = dst
    st, ssmin, ssmax, sumin, sumax, ss32_min, ss32_max, su32_min, su32_max = src
    bits_of, range_of = _OPS[name]
    t = bits_of(dt, st)
    v, m = t
    smin, smax, umin, umax = range_of(64, t, dsmin, dsmax, dumin, dumax, ssmin, ssmax, sumin, sumax)
    if dumax <= S32_MAX and sumax <= S32_MAX:
        # The low halves are the operands: computing them again would say nothing more.
        s32_min, s32_max, u32_min, u32_max = S32_MIN, S32_MAX, 0, U32_MAX
    else:
        low = (v & U32_MAX, m & U32_MAX)
        s32_min, s32_max, u32_min, u32_max = range_of(
            32, low, ds32_min, ds32_max, du32_min, du32_max,
            ss32_min, ss32_max, su32_min, su32_max,
        )  # fmt: skip
    out = tighten(v, m, smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max)
    return UNKNOWN_SCALAR if out is None else out


def _alu32(name: str, dst: Scalar, src: Scalar) -> Scalar:
    bits_of, range_of = _OPS[name]
    v, m = bits_of(dst[0], src[0])
    v &= U32_MAX
    m &= U32_MAX
    return _low32(v, m, range_of(32, (v, m), *dst[5:9], *src[5:9]))


def _low32(v: int, m: int, ranges: _Range) -> Scalar:
    """A 32-bit result, zero-extended (zext_32_to_64)."""
    smin, smax, umin, umax = ranges
    out = tighten(v, m, 0, U32_MAX, umin, umax, smin, smax, umin, umax)
    return _LOADS[32, False] if out is None else out


def _wrapped(bits: int, smin: int, smax: int, umin: int, umax: int) -> _Range:
    """Exact ends of a result, brought into `bits` bits: they stay ends if both overflow alike."""
    if umin >> bits == umax >> bits:
        full = (1 << bits) - 1
        umin &= full
        umax &= full
    else:
        umin, umax = 0, (1 << bits) - 1
    sign = 1 << (bits - 1)
    overflow = (smin + sign) >> bits
    if overflow != (smax + sign) >> bits:
        return -sign, sign - 1, umin, umax
    if overflow:
        smin -= overflow << bits
        smax -= overflow << bits
    return smin, smax, umin, umax


def _add(
    bits: int, t: tuple[int, int], dsmin: int, dsmax: int, dumin: int, dumax: int,
    ssmin: int, ssmax: int, sumin: int, sumax: int,
) -> _Range:  # fmt: skip
    """scalar_min_max_add."""
    return _wrapped(bits, dsmin + ssmin, dsmax + ssmax, dumin + sumin, dumax + sumax)


def _sub(
    bits: int, t: tuple[int, int], dsmin: int, dsmax: int, dumin: int, dumax: int,
    ssmin: int, ssmax: int, sumin: int, sumax: int,
) -> _Range:  # fmt: skip
    """scalar_min_max_sub."""
    return _wrapped(bits, dsmin - ssmax, dsmax - ssmin, dumin - sumax, dumax - sumin)


def _mul(
    bits: int, t: tuple[int, int], dsmin: int, dsmax: int, dumin: int, dumax: int,
    ssmin: int, ssmax: int, sumin: int, sumax: int,
) -> _Range:  # fmt: skip
    """scalar_min_max_mul."""
    ends = (dsmin * ssmin, dsmin * ssmax, dsmax * ssmin, dsmax * ssmax)
    return _wrapped(bits, min(ends), max(ends), dumin * sumin, dumax * sumax)


def _and(
    bits: int, t: tuple[int, int], dsmin: int, dsmax: int, dumin: int, dumax: int,
    ssmin: int, ssmax: int, sumin: int, sumax: int,
) -> _Range:  # fmt: skip
    """scalar_min_max_and; the lowest signed result keeps the leading ones of the lower operand
    (negative_bit_floor)."""
    low = min(dsmin, ssmin)
    smin = -(1 << (~low).bit_length()) if low < 0 else 0
    return smin, max(dsmax, ssmax), t[0], min(dumax, sumax)


def _or(
    bits: int, t: tuple[int, int], dsmin: int, dsmax: int, dumin: int, dumax: int,
    ssmin: int, ssmax: int, sumin: int, sumax: int,
) -> _Range:  # fmt: skip
    """scalar_min_max_or; the signed range follows from the unsigned one."""
    sign = 1 << (bits - 1)
    return -sign, sign - 1, max(dumin, sumin), t[0] | t[1]


def _xor(
    bits: int, t: tuple[int, int], dsmin: int, dsmax: int, dumin: int, dumax: int,
    ssmin: int, ssmax: int, sumin: int, sumax: int,
) -> _Range:  # fmt: skip
    """scalar_min_max_xor: all follows from the bits."""
    sign = 1 << (bits - 1)
    return -sign, sign - 1, t[0], t[0] | t[1]


def _shift64(name: str, dst: Scalar, src: Scalar) -> Scalar:
    """scalar_min_max_lsh, _rsh and _arsh; unknown unless the amount is a constant below 64."""
    shift = src[3]
    if shift != src[4] or shift >= 64:
        return UNKNOWN_SCALAR
    t, smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max = dst
    if name == "lsh":
        v, m = tnum_lshift(t, shift)
        if shift == 32:
            # The low half becomes the high half: with arsh 32 this is a sign extension.
            smin, smax, umin, umax = s32_min, s32_max, u32_min, u32_max
        smin, smax, umin, umax = _wrapped(
            64, smin << shift, smax << shift, umin << shift, umax << shift
        )
        if shift < 32:
            s32_min, s32_max, u32_min, u32_max = _wrapped(
                32, s32_min << shift, s32_max << shift, u32_min << shift, u32_max << shift
            )
        else:
            s32_min, s32_max, u32_min, u32_max = 0, 0, 0, 0
    else:
        s32_min, s32_max, u32_min, u32_max = S32_MIN, S32_MAX, 0, U32_MAX
        if name == "rsh":
            v, m = tnum_rshift(t, shift)
            umin, umax = umin >> shift, umax >> shift
            smin, smax = S64_MIN, S64_MAX
        else:
            v, m = tnum_arshift(t, shift, 64)
            smin, smax = smin >> shift, smax >> shift
            umin, umax = 0, U64_MAX
    out = tighten(v, m, smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max)
    return UNKNOWN_SCALAR if out is None else out


def _shift32(name: str, dst: Scalar, src: Scalar) -> Scalar:
    """scalar32_min_max_lsh, _rsh and _arsh; unknown unless the amount is a constant below 32."""
    shift = src[7]
    if shift != src[8] or shift >= 32:
        return _LOADS[32, False]
    t, _, _, _, _, smin, smax, umin, umax = dst
    if name == "lsh":
        v, m = tnum_lshift(t, shift)
        ranges = _wrapped(32, smin << shift, smax << shift, umin << shift, umax << shift)
        return _low32(v & U32_MAX, m & U32_MAX, ranges)
    if name == "rsh":
        v, m = (t[0] & U32_MAX) >> shift, (t[1] & U32_MAX) >> shift
        return _low32(v, m, (S32_MIN, S32_MAX, umin >> shift, umax >> shift))
    v, m = tnum_arshift(t, shift, 32)
    return _low32(v, m, (smin >> shift, smax >> shift, 0, U32_MAX))


def _divide(name: str, dst: Scalar, src: Scalar, width: int = 64) -> Scalar:
    """Division and remainder; operands of `width` 32 come zero-extended.

    An unsigned one by a constant has a range; Linux 6.18 takes all results as unknown.
    """
    unknown = UNKNOWN_SCALAR if width == 64 else _LOADS[32, False]
    if name[0] == "s" or src[3] != src[4]:
        return unknown
    divisor, umin, umax = src[3], dst[3], dst[4]
    if name == "mod":
        if divisor == 0 or umax < divisor:
            return dst
        umin, umax = 0, divisor - 1
    else:
        if divisor == 0:
            return _ZERO
        umin, umax = umin // divisor, umax // divisor
    out = tighten(0, U64_MAX, S64_MIN, S64_MAX, umin, umax, S32_MIN, S32_MAX, 0, U32_MAX)
    return unknown if out is None else out


def _signed(x: int, bits: int) -> int:
    sign = 1 << (bits - 1)
    return (x ^ sign) - sign


def _sdiv(a: int, b: int, bits: int) -> int:
    if b == 0:
        return 0
    a, b = _signed(a, bits), _signed(b, bits)
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _smod(a: int, b: int, bits: int) -> int:
    if b == 0:
        return a
    a, b = _signed(a, bits), _signed(b, bits)
    rest = abs(a) % abs(b)
    return -rest if a < 0 else rest


# name -> (a, b, bits) -> a `name` b, for unsigned operands; the result is yet to be cut to `bits`
# (RFC 9669 section 4.1).
_CONCRETE: dict[str, Callable[[int, int, int], int]] = {
    "add": lambda a, b, bits: a + b,
    "sub": lambda a, b, bits: a - b,
    "mul": lambda a, b, bits: a * b,
    "div": lambda a, b, bits: a // b if b else 0,
    "mod": lambda a, b, bits: a % b if b else a,
    "sdiv": _sdiv,
    "smod": _smod,
    "and": lambda a, b, bits: a & b,
    "or": lambda a, b, bits: a | b,
    "xor": lambda a, b, bits: a ^ b,
    "lsh": lambda a, b, bits: a << (b & (bits - 1)),
    "rsh": lambda a, b, bits: a >> (b & (bits - 1)),
    "arsh": lambda a, b, bits: _signed(a, bits) >> (b & (bits - 1)),
}

_RangeOf = Callable[[int, tuple[int, int], int, int, int, int, int, int, int, int], _Range]

# name -> (what it does to the bits, what it does to the ranges, given the new bits).
_OPS: dict[str, tuple[Callable[[Tnum, Tnum], Tnum], _RangeOf]] = {
    "add": (tnum_add, _add),
    "sub": (tnum_sub, _sub),
    "mul": (tnum_mul, _mul),
    "and": (tnum_and, _and),
    "or": (tnum_or, _or),
    "xor": (tnum_xor, _xor),
}
_SHIFTS = frozenset(("lsh", "rsh", "arsh"))
_DIVISIONS = frozenset(("div", "mod", "sdiv", "smod"))

_ZERO = const(0)
_LOADS: dict[tuple[int, bool], Scalar] = {
    (bits, signed): cast(UNKNOWN_SCALAR, bits, signed)
    for bits in (8, 16, 32, 64)
    for signed in (False, True)
}
