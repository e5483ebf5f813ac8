"""A random program as a tree of pieces: straight-line code, branches, loops, calls.

Pieces hold no jump distances; these are computed when a program is linked (`LinkedCode`). So a
piece can be removed, copied or moved without fixing any jump.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from bpfheap.fuzz import code
from bpfheap.isa import Insn
from bpfheap.spec import Ref, RefKind


class SlotWriter:
    """The instruction slots of a program while its pieces are written one after the other."""

    def __init__(self) -> None:
        self.insns: list[Insn] = []
        #: What an immediate refers to, by slot.
        self.refs: dict[int, Ref] = {}
        #: (slot, number of the function that it calls or takes the address of).
        self.calls: list[tuple[int, int]] = []

    def write(self, pieces: Pieces) -> None:
        for piece in pieces:
            piece.write(self)

    def reserve_jump(self, insn: Insn) -> int:
        """Append a jump whose distance is not known yet; returns its slot."""
        self.insns.append(insn)
        return len(self.insns) - 1

    def patch_jump(self, slot: int) -> None:
        """Make the jump at `slot` lead to the slot that is written next."""
        self.insns[slot] = self.insns[slot]._replace(off=len(self.insns) - slot - 1)


@dataclass(frozen=True, slots=True)
class CodePiece:
    """Straight-line code."""

    insns: tuple[Insn, ...]
    #: (index in `insns`, what that instruction's immediate refers to).
    refs: tuple[tuple[int, Ref], ...] = ()

    @property
    def parts(self) -> tuple[Pieces, ...]:
        return ()

    def with_parts(self, parts: tuple[Pieces, ...]) -> CodePiece:
        return self

    def write(self, out: SlotWriter) -> None:
        base = len(out.insns)
        out.insns += self.insns
        out.refs.update((base + at, ref) for at, ref in self.refs)


@dataclass(frozen=True, slots=True)
class BranchPiece:
    """`if (!skip) body; else otherwise;`"""

    #: A conditional jump around `body`.
    skip: Insn
    body: Pieces
    otherwise: Pieces = ()

    @property
    def parts(self) -> tuple[Pieces, ...]:
        return (self.body, self.otherwise)

    def with_parts(self, parts: tuple[Pieces, ...]) -> BranchPiece:
        return BranchPiece(self.skip, *parts)

    def write(self, out: SlotWriter) -> None:
        skip = out.reserve_jump(self.skip)
        out.write(self.body)
        if self.otherwise:
            over = out.reserve_jump(code.ja(0))
            out.patch_jump(skip)
            out.write(self.otherwise)
            out.patch_jump(over)
        else:
            out.patch_jump(skip)


@dataclass(frozen=True, slots=True)
class LoopPiece:
    """`do { test; if (leave) break; body; } while (back);`"""

    test: Pieces
    #: A conditional jump out of the loop; None if the loop is left at `back` only.
    leave: Insn | None
    body: Pieces
    #: The jump back to `test`, conditional or not.
    back: Insn

    @property
    def parts(self) -> tuple[Pieces, ...]:
        return (self.test, self.body)

    def with_parts(self, parts: tuple[Pieces, ...]) -> LoopPiece:
        return replace(self, test=parts[0], body=parts[1])

    def write(self, out: SlotWriter) -> None:
        top = len(out.insns)
        out.write(self.test)
        leave = None if self.leave is None else out.reserve_jump(self.leave)
        out.write(self.body)
        out.insns.append(self.back._replace(off=top - len(out.insns) - 1))
        if leave is not None:
            out.patch_jump(leave)


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A call of one of the program's own functions, by its number."""

    function: int

    @property
    def parts(self) -> tuple[Pieces, ...]:
        return ()

    def with_parts(self, parts: tuple[Pieces, ...]) -> CallPiece:
        return self

    def write(self, out: SlotWriter) -> None:
        out.calls.append((len(out.insns), self.function))
        out.insns.append(code.local())


@dataclass(frozen=True, slots=True)
class AddressPiece:
    """Register `dst` = the address of one of the program's functions, for a callback."""

    dst: int
    function: int

    @property
    def parts(self) -> tuple[Pieces, ...]:
        return ()

    def with_parts(self, parts: tuple[Pieces, ...]) -> AddressPiece:
        return self

    def write(self, out: SlotWriter) -> None:
        at = len(out.insns)
        out.calls.append((at, self.function))
        out.refs[at] = Ref(RefKind.FUNC, "")
        out.insns += [code.wide("func", self.dst), code.SECOND]


#: Every piece has `parts` (the pieces inside it), `with_parts` (a copy with other ones) and `write`
#: (append its slots to a SlotWriter).
Piece: TypeAlias = CodePiece | BranchPiece | LoopPiece | CallPiece | AddressPiece
Pieces: TypeAlias = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class RandomFunction:
    """A function of a random program. `body` has no final `exit`: linking adds it."""

    name: str
    body: Pieces


@dataclass(frozen=True, slots=True)
class RandomProgram:
    """A program as a tree. `functions[0]` is the entry; linking leaves out functions that nothing
    calls."""

    section: str
    functions: tuple[RandomFunction, ...] = field(repr=False)


class LinkedCode:
    """A random program with its jump distances, as one sequence of slots."""

    __slots__ = ("insns", "refs", "starts")

    def __init__(self, program: RandomProgram) -> None:
        out = SlotWriter()
        #: Number of a function -> its first slot, in the order of slots.
        self.starts: dict[int, int] = {}
        todo = [0]
        done = 0
        while todo:
            number = todo.pop(0)
            if number in self.starts:
                continue
            self.starts[number] = len(out.insns)
            function = program.functions[number]
            out.write(function.body)
            out.insns.append(code.EXIT)
            todo += [callee for _, callee in out.calls[done:]]
            done = len(out.calls)
        for slot, callee in out.calls:
            start = self.starts[callee]
            out.insns[slot] = out.insns[slot]._replace(imm=start - slot - 1)
            if slot in out.refs:
                name = program.functions[callee].name
                out.refs[slot] = Ref(RefKind.FUNC, name, target=start)
        self.insns = tuple(out.insns)
        self.refs = out.refs


#: Where a piece is in the tree: the function's number, the index in its body, then, for each level
#: below, the index of the part (as in `parts`) and the index of the piece in that part.
PiecePath: TypeAlias = tuple[int, ...]


def walk_pieces(program: RandomProgram) -> Iterator[tuple[PiecePath, Piece]]:
    """Every piece of the program with its path, each before those inside it."""
    for number, function in enumerate(program.functions):
        yield from _within((number,), function.body)


def _within(at: PiecePath, pieces: Pieces) -> Iterator[tuple[PiecePath, Piece]]:
    for i, piece in enumerate(pieces):
        yield (*at, i), piece
        for part, inner in enumerate(piece.parts):
            yield from _within((*at, i, part), inner)


def with_replaced(
    program: RandomProgram, path: PiecePath, new: Pieces, count: int = 1
) -> RandomProgram:
    """A copy of the program with `new` instead of the `count` pieces that begin at `path`."""
    number, *rest = path
    functions = list(program.functions)
    old = functions[number]
    functions[number] = RandomFunction(old.name, _replaced(old.body, tuple(rest), new, count))
    return RandomProgram(program.section, tuple(functions))


def _replaced(pieces: Pieces, path: PiecePath, new: Pieces, count: int) -> Pieces:
    i, *rest = path
    if rest:
        part, *deeper = rest
        piece = pieces[i]
        parts = list(piece.parts)
        parts[part] = _replaced(parts[part], tuple(deeper), new, count)
        new, count = (piece.with_parts(tuple(parts)),), 1
    return (*pieces[:i], *new, *pieces[i + count :])
