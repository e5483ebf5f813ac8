"""What a register or a memory word holds."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

U64 = (1 << 64) - 1
U32 = (1 << 32) - 1
_S64 = 1 << 63


class Pointer(NamedTuple):
    """`offset` bytes into the region with that id; it may lie outside until it is used."""

    region: int
    offset: int


class Opaque(Pointer):
    """In memory: the 8 bytes there are what a call keeps, such as an iterator, and no program may
    touch them. Points at what belongs to it."""

    __slots__ = ()


class Word(Pointer):
    """In a context: 4 bytes that a program reads as a pointer."""

    __slots__ = ()


class Unowned(Pointer):
    """A kptr that a plain load read. Its object may go at any time."""

    __slots__ = ()


#: An unsigned number of 64 bits, a pointer, or None where nothing was written yet.
Value: TypeAlias = int | Pointer | None

NULL = 0


def signed64(number: int) -> int:
    """An unsigned 64-bit pattern read as two's complement."""
    return number - (1 << 64) if number & _S64 else number


def sign_extend(number: int, bits: int, to: int = 64) -> int:
    """The low `bits` bits of `number`, sign extended to `to` bits, as an unsigned pattern."""
    number &= (1 << bits) - 1
    if number >> (bits - 1):
        number -= 1 << bits
    return number & ((1 << to) - 1)
