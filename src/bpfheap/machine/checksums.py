"""The Internet checksum, as the kernel computes with it (include/net/checksum.h, lib/checksum.c).

A sum of 32 bits is a one's complement number, made of little endian words; a folded one has 16.
"""

from __future__ import annotations

import struct

#: Bytes that are looked at at a time.
_PIECE = 1 << 12
_U16 = (1 << 16) - 1
_U32 = (1 << 32) - 1


def add(a: int, b: int) -> int:
    """csum_add: the carry goes around."""
    total = (a & _U32) + (b & _U32)
    return (total + (total >> 32)) & _U32


def sub(a: int, b: int) -> int:
    return add(a, ~b)


def fold(total: int) -> int:
    """csum_fold: the complement, in 16 bits."""
    return ~sum16(total) & _U16


def sum16(total: int) -> int:
    """csum_from32to16: the same without the complement."""
    total = (total & _U16) + (total >> 16 & _U16)
    return (total & _U16) + (total >> 16)


def partial(data: bytes, total: int = 0) -> int:
    """csum_partial: `data` added to a sum."""
    total &= _U32
    for at in range(0, len(data), _PIECE):
        piece = data[at : at + _PIECE]
        words = -(-len(piece) // 4)
        total += sum(struct.unpack(f"<{words}I", piece.ljust(4 * words, b"\0")))
    # The carries go around: 0 is the sum of zeros alone.
    return (total - 1) % _U32 + 1 if total else 0


def replaced(check: int, old: int, new: int) -> int:
    """csum_replace4: a folded sum after 32 bits changed."""
    return fold(add(sub(~(check & _U16), old), new))


def by_difference(check: int, difference: int) -> int:
    """csum_replace_by_diff: the same, where the difference is known."""
    return fold(add(difference, ~(check & _U16)))


def replaced16(check: int, old: int, new: int) -> int:
    """csum_replace2: after 16 bits changed."""
    return ~_add16(_add16(~check & _U16, ~old & _U16), new & _U16) & _U16


def _add16(a: int, b: int) -> int:
    total = a + b
    return (total + (total >> 16)) & _U16
