"""Make a program smaller as long as something stays true of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from bpfheap.fuzz import code
from bpfheap.fuzz.pieces import (
    Branch,
    Code,
    Function,
    Loop,
    Piece,
    Pieces,
    Program,
    places,
    replaced,
)
from bpfheap.isa import Insn, Kind, op_of

#: So many programs are tried at most.
_TRIES: Final = 3000


def minimised(program: Program, keeps: Callable[[Program], bool]) -> Program:
    """A smaller program of which `keeps` is still true, by taking out pieces, then instructions,
    then by making what is left simpler. `keeps` has to be true of `program`."""
    left = _TRIES
    size = None
    while size != (size := _size(program)) and left > 0:
        for candidates in (_without_pieces, _without_insns, _simpler):
            changed = True
            while changed and left > 0:
                changed = False
                for candidate in candidates(program):
                    left -= 1
                    if left <= 0:
                        break
                    if keeps(candidate):
                        program, changed = candidate, True
                        break
    return program


def _size(program: Program) -> int:
    return sum(1 + (len(p.insns) if isinstance(p, Code) else 1) for _, p in places(program))


def _without_pieces(program: Program) -> Iterator[Program]:
    """Large pieces go first, neighbours together. Of a branch or loop, what is inside may stay."""
    found = list(places(program))
    found.sort(key=lambda at: -_weight(at[1]))
    for place, piece in found:
        yield replaced(program, place, ())
        if piece.parts:
            for part in piece.parts:
                if part:
                    yield replaced(program, place, part)
            yield replaced(program, place, tuple(inner for part in piece.parts for inner in part))
    for place, _ in found:
        yield replaced(program, place, (), count=2)


def _weight(piece: Piece) -> int:
    own = len(piece.insns) if isinstance(piece, Code) else 1
    return own + sum(_weight(inner) for part in piece.parts for inner in part)


def _without_insns(program: Program) -> Iterator[Program]:
    """One instruction, or some that follow one another."""
    joined = _joined(program)
    for count in (1, 2, 3, 4):
        for place, piece in places(joined):
            if isinstance(piece, Code):
                for fewer in _shorter(piece, count):
                    yield replaced(joined, place, (fewer,))


def _joined(program: Program) -> Program:
    """The same program with no two pieces of plain code side by side."""
    functions = tuple(Function(f.name, _join(f.body)) for f in program.functions)
    return Program(program.section, functions)


def _join(pieces: Pieces) -> Pieces:
    done: list[Piece] = []
    for piece in pieces:
        last = done[-1] if done else None
        if isinstance(piece, Code) and isinstance(last, Code):
            moved = tuple((at + len(last.insns), ref) for at, ref in piece.refs)
            done[-1] = Code(last.insns + piece.insns, last.refs + moved)
        else:
            done.append(piece.with_parts(tuple(_join(part) for part in piece.parts)))
    return tuple(done)


def _shorter(piece: Code, count: int) -> Iterator[Code]:
    """Without `count` instructions one after the other."""
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
        yield Code(rest, tuple((at - slots if at >= end else at, ref) for at, ref in refs))


def _simpler(program: Program) -> Iterator[Program]:
    """Plain numbers instead of what computes them, and numbers that are easy to read."""
    for place, piece in places(program):
        for new in _simpler_piece(piece):
            yield replaced(program, place, new)


def _simpler_piece(piece: Piece) -> Iterator[Pieces]:
    match piece:
        case Code(insns=insns, refs=refs):
            taken = {at for at, _ in refs} | {at + 1 for at, _ in refs}
            for at, insn in enumerate(insns):
                if at not in taken:
                    for simple in _simpler_insn(insn):
                        yield (Code((*insns[:at], simple, *insns[at + 1 :]), refs),)
        case Branch(skip=skip):
            for simple in _rounder(skip):
                yield (replace(piece, skip=simple),)
        case Loop(back=back) if op_of(back).kind is Kind.JCOND:
            for simple in _rounder(back):
                yield (replace(piece, back=simple),)


_NUMBERS: Final = (0, 1)
_COMPUTES: Final = frozenset({Kind.ALU, Kind.MOV, Kind.NEG, Kind.END, Kind.LOAD})


def _simpler_insn(insn: Insn) -> Iterator[Insn]:
    op = op_of(insn)
    if op.kind is Kind.MOV and not op.reg and insn.imm in _NUMBERS:
        return
    if op.kind in _COMPUTES and insn.dst != code.FP:
        yield from (code.put(insn.dst, number) for number in _NUMBERS)
    yield from _rounder(insn)


def _rounder(insn: Insn) -> Iterator[Insn]:
    """The same with a smaller number in it."""
    op = op_of(insn)
    if "imm" not in op.uses or "imm" in {str(field) for field, _ in op.select}:
        return
    if op.kind in (Kind.CALL_HELPER, Kind.CALL_KFUNC, Kind.CALL_LOCAL):
        return
    for number in (0, 1, insn.imm // 2):
        if abs(number) < abs(insn.imm):
            yield insn._replace(imm=number)
