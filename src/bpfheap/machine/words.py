"""Bits of a register read as numbers."""

from __future__ import annotations

_U32 = (1 << 32) - 1


def signed32(number: int) -> int:
    """The low 32 bits read as two's complement."""
    number &= _U32
    return number - (1 << 32) if number >> 31 else number
