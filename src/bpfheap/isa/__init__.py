"""Instructions: RFC 9669 complete, with what Linux has beside it."""

from bpfheap.isa.asm import AsmRef, Assembled, assemble
from bpfheap.isa.check import check_structure
from bpfheap.isa.disasm import disassemble, format_insn
from bpfheap.isa.insn import SLOT_SIZE, Insn, decode, encode
from bpfheap.isa.ops import (
    CALL_OPCODE,
    LDDW_OPCODE,
    OPS,
    ControlFlow,
    Kind,
    Op,
    Uses,
    instructions,
    op_of,
    second_of,
    slots_of,
    unoffered,
)

__all__ = [
    "CALL_OPCODE",
    "LDDW_OPCODE",
    "OPS",
    "SLOT_SIZE",
    "AsmRef",
    "Assembled",
    "ControlFlow",
    "Insn",
    "Kind",
    "Op",
    "Uses",
    "assemble",
    "check_structure",
    "decode",
    "disassemble",
    "encode",
    "format_insn",
    "instructions",
    "op_of",
    "second_of",
    "slots_of",
    "unoffered",
]
