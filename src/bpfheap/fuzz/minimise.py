"""Reduce a program to a smaller one for which a predicate still holds (delta debugging)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from bpfheap.fuzz import code
from bpfheap.fuzz.pieces import (
    BranchPiece,
    CodePiece,
    LoopPiece,
    Piece,
    Pieces,
    RandomFunction,
    RandomProgram,
    walk_pieces,
    with_replaced,
)
from bpfheap.isa import Insn, Kind, op_of

#: The most programs that the predicate is asked about.
_TRIES: Final = 3000
#: The most seconds for one program: the kernel may take one to say no.
_SECONDS: Final = 60


def minimised(
    program: RandomProgram, keeps: Callable[[RandomProgram], bool], tries: int = _TRIES
) -> RandomProgram:
    """A smaller program for which `keeps` still holds: pieces are taken out, then instructions,
    then what is left is made simpler, until nothing changes or it has taken too long. `keeps` must
    hold for `program`, and is asked about `tries` programs at most."""
    left, end = tries, time.monotonic() + _SECONDS
    size = None
    while size != (size := _size(program)) and left > 0:
        for candidates in (_without_pieces, _without_insns, _simpler):
            changed = True
            while changed and left > 0:
                changed = False
                for candidate in candidates(program):
                    left -= 1
                    if left <= 0 or time.monotonic() > end:
                        return program
                    if keeps(candidate):
                        program, changed = candidate, True
                        break
    return program


def _size(program: RandomProgram) -> int:
    return sum(
        1 + (len(p.insns) if isinstance(p, CodePiece) else 1) for _, p in walk_pieces(program)
    )


def _without_pieces(program: RandomProgram) -> Iterator[RandomProgram]:
    """Candidates without one piece, the largest first; without a branch or loop whose body stays;
    then without two neighbours."""
    found = list(walk_pieces(program))
    found.sort(key=lambda entry: -_weight(entry[1]))
    for path, piece in found:
        yield with_replaced(program, path, ())
        if piece.parts:
            for part in piece.parts:
                if part:
                    yield with_replaced(program, path, part)
            yield with_replaced(
                program, path, tuple(inner for part in piece.parts for inner in part)
            )
    for path, _ in found:
        yield with_replaced(program, path, (), count=2)


def _weight(piece: Piece) -> int:
    """About how many instructions a piece has, with those inside it."""
    outside = len(piece.insns) if isinstance(piece, CodePiece) else 1
    return outside + sum(_weight(inner) for part in piece.parts for inner in part)


def _without_insns(program: RandomProgram) -> Iterator[RandomProgram]:
    """Candidates without one instruction, or without two to four in a row."""
    joined = _joined(program)
    for count in (1, 2, 3, 4):
        for path, piece in walk_pieces(joined):
            if isinstance(piece, CodePiece):
                for fewer in _shorter(piece, count):
                    yield with_replaced(joined, path, (fewer,))


def _joined(program: RandomProgram) -> RandomProgram:
    """The same program, with neighbouring pieces of straight-line code made one."""
    functions = tuple(RandomFunction(f.name, _join(f.body)) for f in program.functions)
    return RandomProgram(program.section, functions)


def _join(pieces: Pieces) -> Pieces:
    done: list[Piece] = []
    for piece in pieces:
        last = done[-1] if done else None
        if isinstance(piece, CodePiece) and isinstance(last, CodePiece):
            moved = tuple((at + len(last.insns), ref) for at, ref in piece.refs)
            done[-1] = CodePiece(last.insns + piece.insns, last.refs + moved)
        else:
            done.append(piece.with_parts(tuple(_join(part) for part in piece.parts)))
    return tuple(done)


def _shorter(piece: CodePiece, count: int) -> Iterator[CodePiece]:
    """The code without `count` instructions in a row, for each place where they may start."""
    starts = []
    at = 0
    while at < len(piece.insns):
        starts.append(at)
        at += op_of(piece.insns[at]).slots
    starts.append(at)
    for first, end in zip(starts, starts[count:], strict=False):
        slots = end - first
        rest = piece.insns[:first] + piece.insns[end:]
        refs = ((at, ref) for at, ref in piece.refs if not first <= at < end)
        yield CodePiece(rest, tuple((at - slots if at >= end else at, ref) for at, ref in refs))


def _simpler(program: RandomProgram) -> Iterator[RandomProgram]:
    """Candidates with a constant in place of a computation, or with a smaller constant."""
    for path, piece in walk_pieces(program):
        for new in _simpler_piece(piece):
            yield with_replaced(program, path, new)


def _simpler_piece(piece: Piece) -> Iterator[Pieces]:
    match piece:
        case CodePiece(insns=insns, refs=refs):
            taken = {at for at, _ in refs} | {at + 1 for at, _ in refs}
            for at, insn in enumerate(insns):
                if at not in taken:
                    for simple in _simpler_insn(insn):
                        yield (CodePiece((*insns[:at], simple, *insns[at + 1 :]), refs),)
        case BranchPiece(skip=skip):
            for simple in _smaller_immediates(skip):
                yield (replace(piece, skip=simple),)
        case LoopPiece(back=back) if op_of(back).kind is Kind.JCOND:
            for simple in _smaller_immediates(back):
                yield (replace(piece, back=simple),)


_NUMBERS: Final = (0, 1)
_COMPUTES: Final = frozenset({Kind.ALU, Kind.MOV, Kind.NEG, Kind.END, Kind.LOAD})


def _simpler_insn(insn: Insn) -> Iterator[Insn]:
    op = op_of(insn)
    if op.kind is Kind.MOV and not op.reg and insn.imm in _NUMBERS:
        return
    if op.kind in _COMPUTES and insn.dst != code.FP:
        yield from (code.put(insn.dst, number) for number in _NUMBERS)
    yield from _smaller_immediates(insn)


def _smaller_immediates(insn: Insn) -> Iterator[Insn]:
    """The same instruction with a smaller immediate."""
    op = op_of(insn)
    if "imm" not in op.uses or "imm" in {str(field) for field, _ in op.select}:
        return
    if op.kind in (Kind.CALL_HELPER, Kind.CALL_KFUNC, Kind.CALL_LOCAL):
        return
    for number in (0, 1, insn.imm // 2):
        if abs(number) < abs(insn.imm):
            yield insn._replace(imm=number)
