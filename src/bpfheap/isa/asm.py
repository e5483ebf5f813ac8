"""Text to slots: reads what `disasm` writes, and what people write (see `syntax` for the forms).

# a comment; the number of the slot and the opcode in front are optional
start:                             a label
    r1 = map[name:hash] ll
    0: (b7) r0 = 0
    if r0 == 0x0 goto start        or: goto pc-2
    call bpf_map_lookup_elem#1     or: call #1, or by name alone where names are known
    call callee                    a local call
    exit
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bpfheap.errors import AsmError
from bpfheap.isa.insn import Insn
from bpfheap.isa.ops import Kind, slots_of
from bpfheap.isa.syntax import (
    MARKS,
    OPERANDS,
    SHAPES,
    Candidate,
    Mark,
    Operand,
    Token,
    nearest_form,
    tokens,
)


class AsmRef(NamedTuple):
    """What the immediate of a slot refers to, as the text says. `kind` is "map", "map-value",
    "func", "ksym" or "kfunc", as in `spec.RefKind`; `offset` the byte offset inside a map value."""

    kind: str
    name: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Assembled:
    """An assembled program."""

    insns: tuple[Insn, ...]
    #: By slot. The slot's own imm is 0, except for the address of a function (relative, as in a
    #: local call); the second slot's imm is the offset inside a map value.
    refs: dict[int, AsmRef] = field(default_factory=dict)
    #: Name -> slot.
    labels: dict[str, int] = field(default_factory=dict)


class _Statement(NamedTuple):
    """One line, parsed but not yet encoded: its label may be defined further down."""

    text: str
    line: int
    slot: int
    what: Candidate
    operands: tuple[Token, ...]

    def error(self, message: str, hint: str | None = None) -> AsmError:
        return _error(self.text, self.line, message, hint)


# "#1" is a number after a call; a comment's # is followed by something else, or starts the line.
_COMMENT = re.compile(r"^\s*#.*|;.*|#(?!-?[0-9]).*")
_LABEL = re.compile(r"\s*([A-Za-z_.$][\w.$]*):(?!\S)", re.ASCII)
_SLOT = re.compile(r"\s*([0-9]{1,9}):(?!\S)")
_OPCODE = re.compile(r"\s*\(([0-9a-fA-F]{2})\)")
_SHOWN = 80


def assemble(
    text: str,
    *,
    helper_number: Callable[[str], int | None] | None = None,
    file: str = "<assembly>",
) -> Assembled:
    """Assemble a program. `helper_number` gives the number of a helper's name; without it helpers
    must be called by number. `file` is for errors.

    Raises AsmError with line, offending text and what was expected. Says nothing about whether
    jumps stay in the program: see `check_structure`.
    """
    try:
        return _assemble(text, helper_number)
    except AsmError as error:
        raise error.at(file) from None


def _assemble(text: str, helper_number: Callable[[str], int | None] | None) -> Assembled:
    sources, labels_at = _split(text)
    labelled = {name for names in labels_at.values() for name, _ in names}
    statements: list[_Statement] = []
    labels: dict[str, int] = {}
    slot = 0
    for index, (line, source) in enumerate(sources):
        for name, at_line in labels_at.get(index, ()):
            _define(labels, name, slot, at_line)
        statement = _recognise(source, line, slot, labelled)
        statements.append(statement)
        slot += statement.what.op.slots
    for name, at_line in labels_at.get(len(sources), ()):
        _define(labels, name, slot, at_line)

    insns: list[Insn] = []
    refs: dict[int, AsmRef] = {}
    for statement in statements:
        slots, symbol = _encode(statement, labels, helper_number)
        insns.extend(slots)
        if symbol is not None:
            refs[statement.slot] = symbol
    return Assembled(tuple(insns), refs, labels)


def _split(text: str) -> tuple[list[tuple[int, str]], dict[int, list[tuple[str, int]]]]:
    """Statements with their line numbers, and the labels in front of each, by its index."""
    sources: list[tuple[int, str]] = []
    labels: dict[int, list[tuple[str, int]]] = {}
    for line, raw in enumerate(text.splitlines(), 1):
        rest = _COMMENT.sub("", raw)
        while match := _LABEL.match(rest):
            labels.setdefault(len(sources), []).append((match[1], line))
            rest = rest[match.end() :]
        if rest.strip():
            sources.append((line, rest.strip()))
    return sources, labels


def _define(labels: dict[str, int], name: str, slot: int, line: int) -> None:
    if name in labels:
        raise AsmError(f"label `{_shorten(name)}` is defined twice", line=line)
    labels[name] = slot


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _error(statement: str, line: int, message: str, hint: str | None = None) -> AsmError:
    return AsmError(f"`{_shorten(statement)}`: {message}", line=line, hint=hint)


def _recognise(text: str, line: int, slot: int, labelled: set[str]) -> _Statement:
    body = text
    if match := _SLOT.match(body):
        if int(match[1]) != slot:
            raise _error(
                text, line, f"the line says slot {match[1]}, but it is slot {slot}",
                "leave the number out, or correct it",
            )  # fmt: skip
        body = body[match.end() :]
    opcode: int | None = None
    if match := _OPCODE.match(body):
        opcode = int(match[1], 16)
        body = body[match.end() :]
    found = tokens(body)
    if isinstance(found, int):
        raise _error(
            text,
            line,
            f"unexpected `{body[found]}`",
            "expected a register, number, name or operator",
        )
    marks = tuple(t.mark for t in found)
    candidates = SHAPES.get(marks, ())
    if opcode is None:
        candidates = tuple(c for c in candidates if not c.form.prefixed)
    if not candidates:
        raise _error(text, line, "no such instruction", f"expected e.g. `{nearest_form(marks)}`")
    if opcode is not None:
        fitting = tuple(c for c in candidates if c.op.opcode == opcode)
        if not fitting:
            raise _error(
                text, line, f"opcode 0x{opcode:02x} is not that of this instruction",
                f"expected ({candidates[0].op.opcode:02x})",
            )  # fmt: skip
        candidates = fitting
    operands = tuple(t for t in found if t.mark in MARKS)
    if len(candidates) > 1:
        candidates = tuple(c for c in candidates if _says(c, operands)) or candidates
    what = candidates[0]
    if len(candidates) > 1:
        # `call name`: of a label if there is one of that name, else of a helper.
        local = operands[0].text in labelled
        what = next(c for c in candidates if (c.op.kind is Kind.CALL_LOCAL) == local)
    return _Statement(text, line, slot, what, operands)


def _says(candidate: Candidate, operands: tuple[Token, ...]) -> bool:
    """Do numbers that are always the same for it have that value?"""
    for name, token in zip(candidate.operands, operands, strict=True):
        low, high = OPERANDS[name].span
        if low == high and token.mark == Mark.NUMBER and int(token.text, 0) != low:
            return False
    return True


def _encode(
    statement: _Statement,
    labels: Mapping[str, int],
    helper_number: Callable[[str], int | None] | None,
) -> tuple[tuple[Insn, ...], AsmRef | None]:
    op, form = statement.what.op, statement.what.form
    fields = {str(f): v for f, v in op.select}
    read: dict[str, int] = {}
    name = ""
    for place, token in zip(statement.what.operands, statement.operands, strict=True):
        if token.mark == Mark.NAME:
            name = token.text
            if place == "name":
                continue
        operand = OPERANDS[place]
        value = _value(statement, operand, token, labels)
        if operand.field and read.setdefault(operand.field, value) != value:
            raise statement.error(
                f"`{token.text}` must be the same register as before",
            )
    if "wide" in read:
        wide = read.pop("wide")
        read |= {"imm": wide & 0xFFFFFFFF, "next": wide >> 32 & 0xFFFFFFFF}
    if op.kind is Kind.CALL_HELPER and name:
        read["imm"] = _helper(statement, name, read.get("imm"), helper_number)
    fields |= read
    slots = slots_of(op, fields)
    symbol = (
        AsmRef(form.symbol, name, slots[-1].imm if op.slots == 2 else 0) if form.symbol else None
    )
    return slots, symbol


def _value(statement: _Statement, operand: Operand, token: Token, labels: Mapping[str, int]) -> int:
    """The number that a token stands for, within the operand's range."""
    text = token.text
    if token.mark == Mark.NAME:
        if text not in labels:
            raise statement.error(
                f"no label `{_shorten(text)}`", "define it by a line `name:`, or write pc+N"
            )
        value = labels[text] - statement.slot - 1
    elif token.mark == Mark.NUMBER:
        value = _number(statement, text)
    else:
        # A register's letter, the pc of a target, the # of a number.
        value = _number(statement, text[2:] if token.mark == Mark.TARGET else text[1:])
    low, high = operand.span
    if not low <= value <= high:
        wanted = f"{low}" if low == high else f"{low} to {high}"
        hint = None
        if operand is OPERANDS["imm"] and 0 <= value < 1 << 64:
            hint = "an immediate is sign extended to 64 bits; `rN = 0x... ll` loads any number"
        raise statement.error(f"`{_shorten(text)}` is not in range, expected {wanted}", hint)
    return value


def _number(statement: _Statement, text: str) -> int:
    try:
        return int(text, 16 if "x" in text.lower() else 10)
    except ValueError:
        # Python's limit on the digits of a decimal number.
        raise statement.error(f"`{_shorten(text)}` is too long for a number") from None


def _helper(
    statement: _Statement,
    name: str,
    number: int | None,
    helper_number: Callable[[str], int | None] | None,
) -> int:
    known = helper_number(name) if helper_number is not None else None
    if number is None:
        if known is None:
            raise statement.error(
                f"no label and no known helper `{_shorten(name)}`",
                "write `call #number`, or `call kfunc name` for a kfunc",
            )
        return known
    if known is not None and known != number:
        raise statement.error(
            f"helper {_shorten(name)} has number {known}, not {number}",
        )
    return number
