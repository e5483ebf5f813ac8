"""64-bit words as native integers.

The verifier's numbers are bit patterns in signed 64-bit integers (i64): compiled, they live in
machine registers, where Python's unsigned 64-bit values would be objects. Compiled arithmetic wraps
around by itself; in plain Python `wrap` does it. So everything here means the same either way.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

U32_MAX: Final = 0xFFFFFFFF
S32_MAX: Final = 0x7FFFFFFF
S32_MIN: Final = -0x80000000
SIGN32: Final = 0x80000000


def wrap(x: i64) -> i64:
    """The pattern of the low 64 bits of `x`; nothing at all once compiled."""
    high: i64 = ((x >> 32) & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
    return (high << 32) | (x & 0xFFFFFFFF)


def shl(x: i64, n: i64) -> i64:
    """x << n, in 64 bits: compiled, a literal on the left would be shifted in 32."""
    return x << n


def s64_max() -> i64:
    """The largest signed number. (A literal of that size would not be native.)"""
    return shl(0x7FFFFFFF, 32) | 0xFFFFFFFF


def s64_min() -> i64:
    """The smallest signed number, and the pattern of the sign bit."""
    return shl(-0x80000000, 32)


def ult(a: i64, b: i64) -> bool:
    """a < b, unsigned."""
    return (a < b) if (a ^ b) >= 0 else b < 0


def ule(a: i64, b: i64) -> bool:
    """a <= b, unsigned."""
    return (a <= b) if (a ^ b) >= 0 else b < 0


def lower(a: i64, b: i64) -> i64:
    """The lesser one, unsigned."""
    return a if ult(a, b) else b


def higher(a: i64, b: i64) -> i64:
    """The greater one, unsigned."""
    return b if ult(a, b) else a


def lsr(x: i64, n: i64) -> i64:
    """x >> n, filled with zeros, for 0 <= n < 64."""
    if n == 0:
        return x
    return (x >> n) & (shl(1, 64 - n) - 1)


def ones(n: i64) -> i64:
    """The n lowest bits set, for 0 <= n <= 64."""
    return -1 if n >= 64 else wrap(shl(1, n) - 1)


def smear(x: i64) -> i64:
    """All bits from the highest one of `x` down."""
    x |= lsr(x, 1)
    x |= lsr(x, 2)
    x |= lsr(x, 4)
    x |= lsr(x, 8)
    x |= lsr(x, 16)
    return x | lsr(x, 32)


def sext(x: i64, bits: i64) -> i64:
    """The low `bits` (1 to 63) bits, sign extended."""
    sign = shl(1, bits - 1)
    return ((x & ((sign << 1) - 1)) ^ sign) - sign


def sext32(x: i64) -> i64:
    """The low half, sign extended."""
    return ((x & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def unsigned(x: i64) -> int:
    """The pattern as the number that people write."""
    whole: int = x
    return whole if x >= 0 else whole + (1 << 64)


def pattern(x: int) -> int:
    """The pattern of the low 64 bits of a number that people write."""
    x &= (1 << 64) - 1
    return x - (1 << 64) if x >> 63 else x
