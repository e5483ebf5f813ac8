"""Write the values of CO-RE relocations into instructions, as bpf_core_patch_insn does
(tools/lib/bpf/relo_core.c)."""

from __future__ import annotations

from bpfheap.btf.core import CoreResult
from bpfheap.errors import RelocationError
from bpfheap.isa import CALL_OPCODE, LDDW_OPCODE, Insn, Kind, op_of

#: The number of the helper that a poisoned instruction calls: no such helper ever was, so that a
#: program is rejected if a path leads there ("invalid func unknown#195896080").
BAD_RELO = 195896080
#: The same for a call of a kfunc that the kernel does not have (POISON_CALL_KFUNC_BASE).
BAD_KFUNC = 2002000000

_S16 = range(-(1 << 15), 1 << 15)
_S32 = range(-(1 << 31), 1 << 31)
_U32 = range(1 << 32)
_SIZE_BITS = 0x18
#: Bytes of a load or store -> its opcode's bits.
_SIZES = {4: 0x00, 2: 0x08, 1: 0x10, 8: 0x18}
_ACCESSES = (Kind.LOAD, Kind.STORE_IMM, Kind.STORE_REG, Kind.ATOMIC)


def apply(insns: list[Insn], slot: int, result: CoreResult) -> bool:
    """Change the instruction at `slot` as a relocation's result demands. False if it was poisoned.
    Raises RelocationError like `patch`."""
    op = op_of(insns[slot], slot)
    if not result.exists or (op.kind in _ACCESSES and not result.same_number):
        poison(insns, slot)
        return False
    patch(insns, slot, result.value)
    mine, theirs = result.sizes
    if mine != theirs and op.kind in _ACCESSES:
        insn = insns[slot]
        size = next(n for n, bits in _SIZES.items() if bits == insn.opcode & _SIZE_BITS)
        if size != mine or theirs not in _SIZES:
            raise RelocationError(
                f"{op.name} accesses {size} bytes of a field that has {mine} in the program's "
                f"types and {theirs} in the kernel's"
            )
        insns[slot] = insn._replace(opcode=insn.opcode & ~_SIZE_BITS | _SIZES[theirs])
    return True


def poison(insns: list[Insn], slot: int, number: int = BAD_RELO) -> None:
    """bpf_core_poison_insn: both halves of a wide instruction."""
    wide = insns[slot].opcode == LDDW_OPCODE
    for at in range(slot, min(slot + 1 + wide, len(insns))):
        insns[at] = Insn(CALL_OPCODE, imm=number)


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
        case _ if op.kind in _ACCESSES:
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
