"""One change to a program: what a hurried author would do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

from bpfheap.fuzz import code
from bpfheap.fuzz.pieces import Branch, Code, Loop, Piece, Pieces, Program, places, replaced
from bpfheap.isa import OPS, Insn, Kind, Op, op_of

_Change = Callable[[Random, Piece], Pieces | None]

#: Rows that differ only in their operation, their width or whether they extend the sign.
_ALIKE: Final = (Kind.ALU, Kind.MOV, Kind.JCOND, Kind.LOAD, Kind.STORE_REG, Kind.STORE_IMM)
_OFFSETS: Final = (-8, -4, -1, 1, 4, 8, 64)
_TRIES: Final = 20


def mutated(rng: Random, program: Program) -> Program:
    """The program with one change somewhere; itself if nothing was found that fits."""
    at = list(places(program))
    for _ in range(_TRIES):
        place, piece = rng.choice(at)
        new = rng.choice(_CHANGES)(rng, piece)
        if new is not None and new != (piece,):
            return replaced(program, place, new)
    return program


def _left_out(rng: Random, piece: Piece) -> Pieces | None:
    return ()


def _twice(rng: Random, piece: Piece) -> Pieces | None:
    return (piece, piece) if isinstance(piece, Code) else None


def _unconditional(rng: Random, piece: Piece) -> Pieces | None:
    """A branch's body without its condition."""
    return (*piece.otherwise, *piece.body) if isinstance(piece, Branch) else None


def _other_condition(rng: Random, piece: Piece) -> Pieces | None:
    match piece:
        case Branch():
            return (replace(piece, skip=_tweaked(rng, piece.skip)),)
        case Loop(leave=Insn() as leave) if rng.random() < 0.5:
            return (replace(piece, leave=_tweaked(rng, leave)),)
        case Loop() if op_of(piece.back).kind is Kind.JCOND:
            return (replace(piece, back=_tweaked(rng, piece.back)),)
    return None


def _other_insn(rng: Random, piece: Piece) -> Pieces | None:
    """One instruction a bit different, or left out."""
    if not isinstance(piece, Code):
        return None
    taken = {at for at, _ in piece.refs} | {at + 1 for at, _ in piece.refs}
    free = [at for at in range(len(piece.insns)) if at not in taken]
    if not free:
        return None
    at = rng.choice(free)
    insns = list(piece.insns)
    if rng.random() < 0.3 and not any(ref > at for ref, _ in piece.refs):
        del insns[at]
    else:
        insns[at] = _tweaked(rng, insns[at])
    return (Code(tuple(insns), piece.refs),)


def _tweaked(rng: Random, insn: Insn) -> Insn:
    """Another offset, number, register, width or operation, as far as it has one."""
    op = op_of(insn)
    fields = [field for field in ("dst", "src", "off", "imm") if _is_free(op, field)]
    if not fields or (op.kind in _ALIKE and rng.random() < 0.35):
        return _other_operation(rng, op, insn)
    match rng.choice(fields):
        case "dst":
            return insn._replace(dst=rng.randrange(10))
        case "src":
            return insn._replace(src=rng.randrange(11))
        case "off":
            return insn._replace(off=insn.off + rng.choice(_OFFSETS))
    change = rng.choice((1, -1, 8, -8, 64))
    imm = insn.imm + change if -(1 << 30) < insn.imm < 1 << 30 else rng.randrange(256)
    return insn._replace(imm=imm)


def _is_free(op: Op, field: str) -> bool:
    chosen = {str(name) for name, _ in op.select}
    jump = op.kind is Kind.JCOND and field == "off"
    called = op.kind is Kind.CALL_HELPER
    return field in {str(use) for use in op.uses} - chosen and not jump and not called


def _other_operation(rng: Random, op: Op, insn: Insn) -> Insn:
    if op.kind not in _ALIKE:
        return insn
    alike = [other for other in OPS if other.kind is op.kind and other.reg == op.reg]
    other = rng.choice(alike)
    imm = 0 if other.reg or "imm" not in other.uses else insn.imm
    off = insn.off if "off" in op.uses and "off" in other.uses else 0
    src = insn.src if other.reg or op.kind is Kind.LOAD else 0
    return code.insn(other, insn.dst, src, off, imm)


_CHANGES: Final[tuple[_Change, ...]] = (
    _left_out, _twice, _unconditional, _unconditional, _other_condition, _other_insn,
    _other_insn, _other_insn,
)  # fmt: skip
