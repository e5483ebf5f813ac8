"""Constructors for instructions: `mov`, `load`, `jump`, `helper` and the like, each one slot.

Register arguments are numbers (0 to 10), sizes are bytes, widths are bits.
"""

from __future__ import annotations

from typing import Final

from bpfheap.isa import OPS, Insn, Kind, Op
from bpfheap.platform.calls import CALL_BY_NAME

_Key = tuple[str, Kind, int, bool, int]

#: Rows of the instruction table by what tells them apart here. An atomic operation that returns
#: the old value has the same key as the one that does not, and wins.
_OPS: Final[dict[_Key, Op]] = {(op.name, op.kind, op.width, op.reg, op.sx): op for op in OPS}


def _of(*kinds: Kind) -> tuple[Op, ...]:
    return tuple(op for op in OPS if op.kind in kinds)


# Rows of one kind, for random choices.
ALU: Final = _of(Kind.ALU)
MOVES: Final = tuple(op for op in _of(Kind.MOV) if op.reg)
UNARY: Final = _of(Kind.NEG, Kind.END)
JUMPS: Final = _of(Kind.JCOND)
LOADS: Final = tuple(op for op in _of(Kind.LOAD) if not op.atomic)
ATOMICS: Final = tuple(op for op in OPS if op.atomic)

#: BPF_REG_FP.
FP: Final = 10
EXIT: Final = Insn(_OPS["exit", Kind.EXIT, 64, False, 0].opcode)
#: The second slot of a wide instruction.
SECOND: Final = Insn(0)


def insn(op: Op, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> Insn:
    """One slot of the operation `op`; fields that select the row override the arguments."""
    fields = {"dst": dst, "src": src, "off": off, "imm": imm} | dict(op.select)
    return Insn(op.opcode, fields["dst"], fields["src"], fields["off"], fields["imm"])


def operation(name: str, kind: Kind, width: int = 64, *, reg: bool = False, sx: int = 0) -> Op:
    """The row of the instruction table with these properties."""
    return _OPS[name, kind, width, reg, sx]


def mov(dst: int, src: int) -> Insn:
    """dst = src"""
    return insn(_OPS["mov", Kind.MOV, 64, True, 0], dst, src)


def put(dst: int, imm: int) -> Insn:
    """dst = imm"""
    return insn(_OPS["mov", Kind.MOV, 64, False, 0], dst, imm=imm)


def alu(name: str, dst: int, imm: int, width: int = 64) -> Insn:
    """dst `name`= imm"""
    return insn(_OPS[name, Kind.ALU, width, False, 0], dst, imm=imm)


def alu_reg(name: str, dst: int, src: int, width: int = 64) -> Insn:
    """dst `name`= src"""
    return insn(_OPS[name, Kind.ALU, width, True, 0], dst, src)


def load(size: int, dst: int, src: int, off: int) -> Insn:
    """dst = `size` bytes at src + off"""
    return insn(_OPS["ldx", Kind.LOAD, 8 * size, False, 0], dst, src, off)


def store(size: int, dst: int, off: int, src: int) -> Insn:
    """`size` bytes at dst + off = src"""
    return insn(_OPS["stx", Kind.STORE_REG, 8 * size, True, 0], dst, src, off)


def store_imm(size: int, dst: int, off: int, imm: int) -> Insn:
    """`size` bytes at dst + off = imm"""
    return insn(_OPS["st", Kind.STORE_IMM, 8 * size, False, 0], dst, 0, off, imm)


def jump(name: str, dst: int, imm: int, width: int = 64) -> Insn:
    """if dst `name` imm goto ...; the piece that holds the jump sets the distance."""
    return insn(_OPS[name, Kind.JCOND, width, False, 0], dst, imm=imm)


def jump_reg(name: str, dst: int, src: int, width: int = 64) -> Insn:
    """if dst `name` src goto ..., like `jump`."""
    return insn(_OPS[name, Kind.JCOND, width, True, 0], dst, src)


def ja(off: int) -> Insn:
    """goto, `off` slots from the next one"""
    return insn(_OPS["ja", Kind.JA, 64, False, 0], off=off)


def helper(name: str) -> Insn:
    """A call of the helper of that name."""
    number = CALL_BY_NAME[name].number
    assert number is not None, f"there is no helper {name}"
    return insn(_OPS["call", Kind.CALL_HELPER, 64, False, 0], imm=number)


def kfunc() -> Insn:
    """A call of a kfunc; the slot's reference names it."""
    return insn(_OPS["call", Kind.CALL_KFUNC, 64, False, 0])


def local() -> Insn:
    """A call of one of the program's functions; linking sets the distance."""
    return insn(_OPS["call", Kind.CALL_LOCAL, 64, False, 0])


def wide(name: str, dst: int) -> Insn:
    """The first slot of a wide instruction (a map, a function); the slot's reference names it."""
    return insn(_OPS[name, Kind.LDDW, 64, False, 0], dst)
