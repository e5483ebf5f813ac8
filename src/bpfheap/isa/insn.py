"""One instruction slot, as RFC 9669 section 3 lays it out: 8 bytes, little endian.

A wide instruction (`lddw`) takes two slots; programs are tuples of slots, and every index and
jump offset in the project counts slots, as in the kernel.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from bpfheap.errors import InsnError

_SLOT = struct.Struct("<BBhi")
SLOT_SIZE = _SLOT.size


class Insn(NamedTuple):
    """`off` is signed 16 bits, `imm` signed 32 bits, `dst` and `src` are register numbers."""

    opcode: int
    dst: int = 0
    src: int = 0
    off: int = 0
    imm: int = 0


def decode(data: bytes) -> tuple[Insn, ...]:
    """Split bytes into slots. Says nothing about whether each slot is a known instruction.

    Raises InsnError if the length is no multiple of 8 bytes.
    """
    if len(data) % SLOT_SIZE:
        raise InsnError(f"code is {len(data)} bytes long, which is no multiple of {SLOT_SIZE}")
    return tuple(
        Insn(opcode, regs & 0xF, regs >> 4, off, imm)
        for opcode, regs, off, imm in _SLOT.iter_unpack(data)
    )


def encode(insns: tuple[Insn, ...] | list[Insn]) -> bytes:
    """The inverse of `decode`. Raises InsnError for a field that does not fit into its bits."""
    slots: list[bytes] = []
    for slot, i in enumerate(insns):
        if not (0 <= i.dst <= 0xF and 0 <= i.src <= 0xF):
            raise InsnError(f"register field out of range in {i}", insn=slot)
        try:
            slots.append(_SLOT.pack(i.opcode, (i.src << 4) | i.dst, i.off, i.imm))
        except struct.error:
            raise InsnError(
                f"opcode, off or imm does not fit into its field in {i}", insn=slot
            ) from None
    return b"".join(slots)
