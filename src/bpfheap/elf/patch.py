"""Write the values of CO-RE relocations into instructions, as bpf_core_patch_insn does
(tools/lib/bpf/relo_core.c), with the program's own BTF as the target.

Against its own BTF every relocation can be resolved and no access changes its size, so nothing
ever has to be poisoned or widened.
"""

from __future__ import annotations

from bpfheap.errors import RelocationError
from bpfheap.isa import Insn, Kind, op_of

_S16 = range(-(1 << 15), 1 << 15)
_S32 = range(-(1 << 31), 1 << 31)
_U32 = range(1 << 32)


def patch(insns: list[Insn], slot: int, value: int) -> None:
    """Write `value` into the instruction at `slot`: as the immediate of an ALU operation or `mov`,
    both immediates of `lddw`, or the offset of a load or store.

    Raises RelocationError, without file and line, for another instruction or a value that does not
    fit.
    """
    insn = insns[slot]
    op = op_of(insn, slot)
    match op.kind:
        case Kind.ALU | Kind.MOV if not op.reg:
            # A 64-bit operation extends the sign.
            if value not in _S32 and (op.width == 64 or value not in _U32):
                raise _misfit(op.name, value, "the immediate's 32 bits")
            insns[slot] = insn._replace(imm=_signed32(value))
        case Kind.LOAD | Kind.STORE_IMM | Kind.STORE_REG | Kind.ATOMIC:
            if value not in _S16:
                raise _misfit(op.name, value, "the offset's 16 bits")
            insns[slot] = insn._replace(off=value)
        case Kind.LDDW if op.name == "lddw" and slot + 1 < len(insns):
            insns[slot] = insn._replace(imm=_signed32(value))
            insns[slot + 1] = insns[slot + 1]._replace(imm=_signed32(value >> 32))
        case _:
            raise RelocationError(f"a CO-RE relocation on {op.name}, which has no number to change")


def _signed32(value: int) -> int:
    return ((value + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def _misfit(name: str, value: int, room: str) -> RelocationError:
    return RelocationError(f"a CO-RE value of {value} does not fit {room} of {name}")
