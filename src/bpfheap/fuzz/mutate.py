"""Mutations: one small change to a random program, like a mistake of its author."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

from bpfheap.fuzz import code
from bpfheap.fuzz.pieces import (
    AddressPiece,
    BranchPiece,
    CallPiece,
    CodePiece,
    LoopPiece,
    Piece,
    Pieces,
    RandomProgram,
    walk_pieces,
    with_replaced,
)
from bpfheap.isa import OPS, Insn, Kind, Op, op_of

_Change = Callable[[Random, Piece], Pieces | None]

#: Kinds whose rows differ only in operation, width or sign extension, so that one can replace
#: another.
_INTERCHANGEABLE: Final = (
    Kind.ALU,
    Kind.MOV,
    Kind.JCOND,
    Kind.LOAD,
    Kind.STORE_REG,
    Kind.STORE_IMM,
)
#: What is added to the offset of a load or store.
_OFFSETS: Final = (-8, -4, -1, 1, 4, 8, 64)
#: Attempts to find a mutation that fits the chosen piece.
_TRIES: Final = 20


def mutated(rng: Random, program: RandomProgram) -> RandomProgram:
    """The program with one mutation; the program itself if no mutation was found that fits."""
    found = list(walk_pieces(program))
    for _ in range(_TRIES if found else 0):
        path, piece = rng.choice(found)
        new = rng.choice(_CHANGES)(rng, piece)
        if new is not None and new != (piece,):
            return with_replaced(program, path, new)
    return program


def spliced(rng: Random, program: RandomProgram, other: RandomProgram) -> RandomProgram:
    """The program with a piece of another one in it, put in or in place of one; the program itself
    if there is no such piece, or no place for it."""
    donors = [piece for _, piece in walk_pieces(other) if _stands_alone(piece)]
    places = [path for path, _ in walk_pieces(program)]
    if not donors or not places:
        return program
    path = rng.choice(places)
    return with_replaced(program, path, (rng.choice(donors),), count=rng.choice((0, 0, 1)))


def _stands_alone(piece: Piece) -> bool:
    """Does it name no function? Another program's are others."""
    if isinstance(piece, CallPiece | AddressPiece):
        return False
    return all(_stands_alone(inner) for part in piece.parts for inner in part)


def _left_out(rng: Random, piece: Piece) -> Pieces | None:
    return ()


def _twice(rng: Random, piece: Piece) -> Pieces | None:
    return (piece, piece) if isinstance(piece, CodePiece) else None


def _unconditional(rng: Random, piece: Piece) -> Pieces | None:
    """Both sides of a branch, without the condition."""
    return (*piece.otherwise, *piece.body) if isinstance(piece, BranchPiece) else None


def _other_condition(rng: Random, piece: Piece) -> Pieces | None:
    match piece:
        case BranchPiece():
            return (replace(piece, skip=_tweaked(rng, piece.skip)),)
        case LoopPiece(leave=Insn() as leave) if rng.random() < 0.5:
            return (replace(piece, leave=_tweaked(rng, leave)),)
        case LoopPiece() if op_of(piece.back).kind is Kind.JCOND:
            return (replace(piece, back=_tweaked(rng, piece.back)),)
    return None


def _other_insn(rng: Random, piece: Piece) -> Pieces | None:
    """One instruction changed or left out."""
    if not isinstance(piece, CodePiece):
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
    return (CodePiece(tuple(insns), piece.refs),)


def _tweaked(rng: Random, insn: Insn) -> Insn:
    """The instruction with another register, offset, immediate, width or operation."""
    op = op_of(insn)
    fields = [field for field in ("dst", "src", "off", "imm") if _is_free(op, field)]
    if not fields or (op.kind in _INTERCHANGEABLE and rng.random() < 0.35):
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
    """May any value stand in that field? Not in those that select the row, in jump distances, and
    in the numbers of helpers."""
    chosen = {str(name) for name, _ in op.select}
    jump = op.kind is Kind.JCOND and field == "off"
    called = op.kind is Kind.CALL_HELPER
    return field in {str(use) for use in op.uses} - chosen and not jump and not called


def _other_operation(rng: Random, op: Op, insn: Insn) -> Insn:
    if op.kind not in _INTERCHANGEABLE:
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
