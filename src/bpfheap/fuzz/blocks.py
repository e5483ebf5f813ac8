"""Random programs as text, and text as programs: assembly with blocks in place of labels.

    SEC tc                        the section
    r6 = *(u32 *)(r1 +0)          assembly; lines without an empty one between them are one piece
    unless r6 > 7 {               a branch: a conditional jump around a block
    r7 = 1
    } else {
    r7 = 2
    }
    loop {
    call kfunc bpf_iter_num_next
    leave if r0 == 0              once in a loop, or not at all
    r6 += 1
    } while r6 < 5                or: } again
    r2 = func f1                  the address of a function
    call g1                       one whose name begins with g is global
    r1 = type fuzz_leaf           the number of a type
    f1:                           the next function; none ends with `exit`, which is added
    r0 = 0

Text holds no distances and no numbers of types, so it means the same when these change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from bpfheap.errors import AsmError, UsageError
from bpfheap.fuzz import code
from bpfheap.fuzz.pieces import (
    AddressPiece,
    BranchPiece,
    CallPiece,
    CodePiece,
    LoopPiece,
    Piece,
    Pieces,
    RandomFunction,
    RandomProgram,
)
from bpfheap.fuzz.surroundings import function_name, types
from bpfheap.isa import Insn, Kind, assemble, disassemble, op_of
from bpfheap.platform.calls import HELPER_BY_NUMBER, HELPER_NUMBERS
from bpfheap.spec import Ref, RefKind

_FUNCTION: Final = re.compile(r"([fg]\d+):")
_ADDRESS: Final = re.compile(r"r(\d+) = func ([fg]\d+)")
_CALL: Final = re.compile(r"call ([fg]\d+)")
_TYPE: Final = re.compile(r"(r\d+) = type (\w+)")
_OPCODE: Final = re.compile(r"^\d+: \([0-9a-f]{2}\) ")
_ALLOCATES: Final = "bpf_obj_new_impl"


def program_of(text: str) -> RandomProgram:
    """The program that a text means. Raises UsageError for one that means none."""
    lines = text.strip().splitlines()
    section = "tc"
    if lines and lines[0].startswith("SEC "):
        section = lines.pop(0).removeprefix("SEC ")
    parts: list[tuple[str, list[str]]] = [(function_name(0), [])]
    for line in lines:
        named = _FUNCTION.fullmatch(line.strip())
        if named is not None:
            parts.append((named[1], []))
        else:
            parts[-1][1].append(line.strip())
    names = {name: number for number, (name, _) in enumerate(parts)}
    if len(names) < len(parts):
        raise UsageError("a function is defined twice")
    functions = []
    for name, body in parts:
        reader = _Reader(body, names)
        functions.append(RandomFunction(name, reader.pieces()))
        if reader.left:
            raise UsageError(f"{reader.left[0]!r} ends no block")
    return RandomProgram(section, tuple(functions))


class _Reader:
    """Reads the lines of one function."""

    def __init__(self, lines: list[str], functions: dict[str, int]) -> None:
        self.left = lines
        self._functions = functions

    def pieces(self) -> Pieces:
        """Up to a line that ends a block, or a loop's first part."""
        done: list[Piece] = []
        straight: list[str] = []

        def flush() -> None:
            if straight:
                done.append(_straight(straight))
                straight.clear()

        while self.left and not self.left[0].startswith(("}", "leave if ")):
            line = self.left.pop(0)
            block = None if not line or line.startswith("#") else self._block(line)
            if block is not None:
                flush()
                done.append(block)
            elif not line:
                flush()
            elif not line.startswith("#"):
                straight.append(line)
        flush()
        return tuple(done)

    def _block(self, line: str) -> Piece | None:
        """A piece that is not straight-line code; None if the line is an instruction."""
        if line.startswith("unless ") and line.endswith(" {"):
            return self._branch(_jump(line[len("unless ") : -len(" {")]))
        if line == "loop {":
            return self._loop()
        called = _CALL.fullmatch(line)
        if called is not None:
            return CallPiece(self._number(called[1]))
        address = _ADDRESS.fullmatch(line)
        if address is not None:
            return AddressPiece(int(address[1]), self._number(address[2]))
        return None

    def _number(self, name: str) -> int:
        if name not in self._functions:
            raise UsageError(f"there is no function {name}")
        return self._functions[name]

    def _branch(self, skip: Insn) -> BranchPiece:
        body = self.pieces()
        otherwise: Pieces = ()
        if self._end() == "} else {":
            otherwise = self.pieces()
            if self._end() != "}":
                raise UsageError("a branch has no end")
        return BranchPiece(skip, body, otherwise)

    def _loop(self) -> LoopPiece:
        test: Pieces = ()
        body, leave = self.pieces(), None
        if self.left and self.left[0].startswith("leave if "):
            leave = _jump(self.left.pop(0).removeprefix("leave if "))
            test, body = body, self.pieces()
        end = self._end()
        if end == "} again":
            return LoopPiece(test, leave, body, code.ja(0))
        if not end.startswith("} while "):
            raise UsageError("a loop has no end")
        return LoopPiece(test, leave, body, _jump(end.removeprefix("} while ")))

    def _end(self) -> str:
        if not self.left:
            raise UsageError("a block has no end")
        return self.left.pop(0)


def _jump(condition: str) -> Insn:
    return _assembled(f"if {condition} goto pc+0")[0][0]


def _straight(lines: list[str]) -> CodePiece:
    ids = types()[1]

    def number(match: re.Match[str]) -> str:
        if match[2] not in ids:
            raise UsageError(f"there is no type {match[2]}")
        return f"{match[1]} = {ids[match[2]]}"

    insns, refs = _assembled("\n".join(_TYPE.sub(number, line) for line in lines))
    return CodePiece(insns, refs)


def _assembled(text: str) -> tuple[tuple[Insn, ...], tuple[tuple[int, Ref], ...]]:
    try:
        done = assemble(text, helper_number=HELPER_NUMBERS.get, file="<program>")
    except AsmError as error:
        raise UsageError(str(error)) from None
    refs = ((slot, Ref(RefKind(r.kind), r.name, r.offset)) for slot, r in done.refs.items())
    return done.insns, tuple(refs)


def text_of(program: RandomProgram) -> str:
    """The text of a program, from which `program_of` makes it again."""
    names = [function.name for function in program.functions]
    lines = [f"SEC {program.section}"]
    for number, function in enumerate(program.functions):
        if number:
            lines.append(f"{function.name}:")
        lines += _lines(function.body, names)
    return "\n".join(lines) + "\n"


def _lines(pieces: Pieces, names: list[str]) -> Iterator[str]:
    before: Piece | None = None
    for piece in pieces:
        if isinstance(piece, CodePiece) and not piece.insns:
            continue
        if isinstance(before, CodePiece) and isinstance(piece, CodePiece):
            yield ""
        before = piece
        match piece:
            case CodePiece():
                yield from _code(piece)
            case BranchPiece():
                yield f"unless {_condition(piece.skip)} {{"
                yield from _lines(piece.body, names)
                if piece.otherwise:
                    yield "} else {"
                    yield from _lines(piece.otherwise, names)
                yield "}"
            case LoopPiece():
                yield "loop {"
                if piece.leave is not None:
                    yield from _lines(piece.test, names)
                    yield f"leave if {_condition(piece.leave)}"
                yield from _lines(piece.body, names)
                always = op_of(piece.back).kind is Kind.JA
                yield "} again" if always else f"}} while {_condition(piece.back)}"
            case CallPiece():
                yield f"call {names[piece.function]}"
            case AddressPiece():
                yield f"r{piece.dst} = func {names[piece.function]}"


def _condition(jump: Insn) -> str:
    (line,) = disassemble((jump,))
    return _OPCODE.sub("", line).removeprefix("if ").rpartition(" goto ")[0]


def _code(piece: CodePiece) -> Iterator[str]:
    by_number = {number: name for name, number in types()[1].items()}
    allocates = any(ref.name == _ALLOCATES for _, ref in piece.refs)
    for line in disassemble(piece.insns, dict(piece.refs), helper_name=_helper_name):
        text = _OPCODE.sub("", line)
        register, _, value = text.partition(" = ")
        if allocates and register == "r1" and value.isdecimal() and int(value) in by_number:
            text = f"r1 = type {by_number[int(value)]}"
        yield text


def _helper_name(number: int) -> str | None:
    row = HELPER_BY_NUMBER.get(number)
    return None if row is None else row.name
