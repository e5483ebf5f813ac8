"""A random program as a tree of small pieces, which can be taken out and put elsewhere without a
thought of jumps: distances exist only once a program is linked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from bpfheap.fuzz import code
from bpfheap.isa import Insn
from bpfheap.spec import Ref, RefKind


class Out:
    """Slots as they are written. `calls` are the slots that lead to functions, by number."""

    def __init__(self) -> None:
        self.insns: list[Insn] = []
        self.refs: dict[int, Ref] = {}
        self.calls: list[tuple[int, int]] = []

    def write(self, pieces: Pieces) -> None:
        for piece in pieces:
            piece.write(self)

    def leave_room(self, insn: Insn) -> int:
        """A jump whose distance is not known yet; gives its slot."""
        self.insns.append(insn)
        return len(self.insns) - 1

    def lands_here(self, slot: int) -> None:
        """The jump at `slot` leads to what is written next."""
        self.insns[slot] = self.insns[slot]._replace(off=len(self.insns) - slot - 1)


@dataclass(frozen=True, slots=True)
class Code:
    """Instructions one after the other. `refs` is by place in `insns`."""

    insns: tuple[Insn, ...]
    refs: tuple[tuple[int, Ref], ...] = ()

    @property
    def parts(self) -> tuple[Pieces, ...]:
        return ()

    def with_parts(self, parts: tuple[Pieces, ...]) -> Code:
        return self

    def write(self, out: Out) -> None:
        base = len(out.insns)
        out.insns += self.insns
        out.refs.update((base + at, ref) for at, ref in self.refs)


@dataclass(frozen=True, slots=True)
class Branch:
    """`body` unless `skip`, a conditional jump, is taken; `otherwise` if it is."""

    skip: Insn
    body: Pieces
    otherwise: Pieces = ()

    @property
    def parts(self) -> tuple[Pieces, ...]:
        return (self.body, self.otherwise)

    def with_parts(self, parts: tuple[Pieces, ...]) -> Branch:
        return Branch(self.skip, *parts)

    def write(self, out: Out) -> None:
        skip = out.leave_room(self.skip)
        out.write(self.body)
        if self.otherwise:
            over = out.leave_room(code.ja(0))
            out.lands_here(skip)
            out.write(self.otherwise)
            out.lands_here(over)
        else:
            out.lands_here(skip)


@dataclass(frozen=True, slots=True)
class Loop:
    """`test`, then, unless `leave` is taken, `body`, and again if `back` is taken. Both jumps may
    be missing, `back` may be one without a condition."""

    test: Pieces
    leave: Insn | None
    body: Pieces
    back: Insn

    @property
    def parts(self) -> tuple[Pieces, ...]:
        return (self.test, self.body)

    def with_parts(self, parts: tuple[Pieces, ...]) -> Loop:
        return replace(self, test=parts[0], body=parts[1])

    def write(self, out: Out) -> None:
        top = len(out.insns)
        out.write(self.test)
        leave = None if self.leave is None else out.leave_room(self.leave)
        out.write(self.body)
        out.insns.append(self.back._replace(off=top - len(out.insns) - 1))
        if leave is not None:
            out.lands_here(leave)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the program's own function of that number."""

    function: int

    @property
    def parts(self) -> tuple[Pieces, ...]:
        return ()

    def with_parts(self, parts: tuple[Pieces, ...]) -> Call:
        return self

    def write(self, out: Out) -> None:
        out.calls.append((len(out.insns), self.function))
        out.insns.append(code.local())


@dataclass(frozen=True, slots=True)
class Address:
    """Register `dst` = the address of the function of that number, for a callback."""

    dst: int
    function: int

    @property
    def parts(self) -> tuple[Pieces, ...]:
        return ()

    def with_parts(self, parts: tuple[Pieces, ...]) -> Address:
        return self

    def write(self, out: Out) -> None:
        at = len(out.insns)
        out.calls.append((at, self.function))
        out.refs[at] = Ref(RefKind.FUNC, "")
        out.insns += [code.wide("func", self.dst), code.SECOND]


Piece: TypeAlias = Code | Branch | Loop | Call | Address
Pieces: TypeAlias = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """`exit` follows its body."""

    name: str
    body: Pieces


@dataclass(frozen=True, slots=True)
class Program:
    """`functions[0]` is the entry. The others are linked as far as they are called."""

    section: str
    functions: tuple[Function, ...] = field(repr=False)


class Linked:
    """`starts` has the number of the function and its first slot, in the order of slots."""

    __slots__ = ("insns", "refs", "starts")

    def __init__(self, program: Program) -> None:
        out = Out()
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


#: The number of a function, then alternately a place among pieces and a part of the piece there.
Place: TypeAlias = tuple[int, ...]


def places(program: Program) -> Iterator[tuple[Place, Piece]]:
    """Every piece, each before those inside it."""
    for number, function in enumerate(program.functions):
        yield from _within((number,), function.body)


def _within(at: Place, pieces: Pieces) -> Iterator[tuple[Place, Piece]]:
    for i, piece in enumerate(pieces):
        yield (*at, i), piece
        for part, inner in enumerate(piece.parts):
            yield from _within((*at, i, part), inner)


def replaced(program: Program, place: Place, new: Pieces, count: int = 1) -> Program:
    """The same program with other pieces instead of the `count` ones that begin at `place`."""
    number, *rest = place
    functions = list(program.functions)
    old = functions[number]
    functions[number] = Function(old.name, _replaced(old.body, tuple(rest), new, count))
    return Program(program.section, tuple(functions))


def _replaced(pieces: Pieces, place: Place, new: Pieces, count: int) -> Pieces:
    i, *rest = place
    if rest:
        part, *deeper = rest
        piece = pieces[i]
        parts = list(piece.parts)
        parts[part] = _replaced(parts[part], tuple(deeper), new, count)
        new, count = (piece.with_parts(tuple(parts)),), 1
    return (*pieces[:i], *new, *pieces[i + count :])
