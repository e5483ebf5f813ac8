"""Arithmetic on numbers: RFC 9669 sections 4.1, 4.2 and 4.3, as tables by the operation's name.

Every function takes and gives unsigned patterns of its width; the caller zero extends results of
32-bit operations (section 4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bpfheap.machine.model.values import U32, U64, sign_extend, signed64
from bpfheap.machine.words import signed32

Binary = Callable[[int, int], int]


def _quotient(a: int, b: int) -> int:
    """Division that truncates toward zero."""
    q = abs(a) // abs(b)
    return -q if (a < 0) != (b < 0) else q


def _table(width: int) -> Mapping[str, Binary]:
    """The rows of table 3 for operands of that width."""
    mask = (1 << width) - 1
    shift = width - 1
    signed = signed64 if width == 64 else signed32

    def sdiv(a: int, b: int) -> int:
        return _quotient(signed(a), signed(b)) & mask if b else 0

    def smod(a: int, b: int) -> int:
        if not b:
            return a
        x, y = signed(a), signed(b)
        return (x - y * _quotient(x, y)) & mask

    return {
        "add": lambda a, b: (a + b) & mask,
        "sub": lambda a, b: (a - b) & mask,
        "mul": lambda a, b: (a * b) & mask,
        "div": lambda a, b: a // b if b else 0,
        "sdiv": sdiv,
        "or": lambda a, b: a | b,
        "and": lambda a, b: a & b,
        "lsh": lambda a, b: (a << (b & shift)) & mask,
        "rsh": lambda a, b: a >> (b & shift),
        "mod": lambda a, b: a % b if b else a,
        "smod": smod,
        "xor": lambda a, b: a ^ b,
        "arsh": lambda a, b: (signed(a) >> (b & shift)) & mask,
    }


#: width -> name -> operation.
ALU: Mapping[int, Mapping[str, Binary]] = {64: _table(64), 32: _table(32)}


def _jumps(width: int) -> Mapping[str, Callable[[int, int], bool]]:
    signed = signed64 if width == 64 else signed32
    return {
        "jeq": lambda a, b: a == b,
        "jne": lambda a, b: a != b,
        "jgt": lambda a, b: a > b,
        "jge": lambda a, b: a >= b,
        "jlt": lambda a, b: a < b,
        "jle": lambda a, b: a <= b,
        "jset": lambda a, b: bool(a & b),
        "jsgt": lambda a, b: signed(a) > signed(b),
        "jsge": lambda a, b: signed(a) >= signed(b),
        "jslt": lambda a, b: signed(a) < signed(b),
        "jsle": lambda a, b: signed(a) <= signed(b),
    }


#: width -> name -> whether the jump is taken (table 6).
JUMPS: Mapping[int, Mapping[str, Callable[[int, int], bool]]] = {64: _jumps(64), 32: _jumps(32)}


def swap(number: int, bits: int) -> int:
    """The low `bits` bits with their bytes reversed."""
    return int.from_bytes((number & ((1 << bits) - 1)).to_bytes(bits // 8, "little"), "big")


#: Section 4.2, on a little-endian machine: name -> (number, bits) -> number.
BYTE_ORDER: Mapping[str, Callable[[int, int], int]] = {
    "le": lambda number, bits: number & ((1 << bits) - 1),
    "be": swap,
    "bswap": swap,
}

#: What an atomic leaves in memory: name -> (old, operand) -> new (tables 13 and 14).
ATOMICS: Mapping[str, Binary] = {
    "add": lambda a, b: a + b,
    "or": lambda a, b: a | b,
    "and": lambda a, b: a & b,
    "xor": lambda a, b: a ^ b,
    "xchg": lambda a, b: b,
}


def negate(number: int, width: int) -> int:
    return -number & ((1 << width) - 1)


def move(number: int, width: int, sx: int) -> int:
    """`mov` and, with `sx` bits, `movsx`."""
    if sx:
        return sign_extend(number, sx, width)
    return number & (U64 if width == 64 else U32)
