"""Instructions: RFC 9669 complete, with the cpu v4 additions."""

from bpfheap.isa.insn import SLOT_SIZE, Insn, decode, encode
from bpfheap.isa.ops import OPS, Kind, Op, op_of

__all__ = ["OPS", "SLOT_SIZE", "Insn", "Kind", "Op", "decode", "encode", "op_of"]
