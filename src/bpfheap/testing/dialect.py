"""The assembler dialect of the public conformance data (ubpf's, spoken by rbpf and others too).

    lddw %r0, 0x1122334455667788
    stxdw [%r10-8], %r0
    lock fetch add32 [%r10-8], %r1
    jne32 %r0, 5, exit          # a label, or +N; `exit` is the first exit instruction
    call local function

Mnemonics come from the rows of the instruction table, so a row without one does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from bpfheap.errors import AsmError
from bpfheap.isa import OPS, Insn, Kind, Op, slots_of

_SIZE = {8: "b", 16: "h", 32: "w", 64: "dw"}


def _sized(op: Op) -> str:
    return op.name if op.width == 64 else f"{op.name}32"


def _mov(op: Op) -> tuple[str, ...]:
    return (f"movsx{op.sx}{op.width}",) if op.sx else (_sized(op),)


def _end(op: Op) -> tuple[str, ...]:
    name = f"{op.name}{op.width}"
    return (name, name.removeprefix("b")) if op.name == "bswap" else (name,)


def _atomic(op: Op) -> tuple[str, ...]:
    # An exchange always fetches and does not say so.
    says = op.fetch and op.name not in ("xchg", "cmpxchg")
    return (f"lock {'fetch ' if says else ''}{_sized(op)}",)


def _access(op: Op) -> tuple[str, ...]:
    # The dialect has no loads that acquire, and no stores that release.
    return () if op.atomic else (f"{op.name}{'s' if op.sx else ''}{_SIZE[op.width]}",)


@dataclass(frozen=True, slots=True)
class Writing:
    """How the operations of a kind are written."""

    #: All mnemonics of an operation.
    mnemonics: Callable[[Op], tuple[str, ...]]
    #: The names of its operands in order: dst, src, imm, wide, to, far, from, into (see `_encode`).
    operands: Callable[[Op], tuple[str, ...]]


def _source(op: Op) -> str:
    return "src" if op.reg else "imm"


#: None: the dialect cannot write it.
WRITINGS: dict[Kind, Writing | None] = {
    Kind.ALU: Writing(lambda op: (_sized(op),), lambda op: ("dst", _source(op))),
    Kind.MOV: Writing(_mov, lambda op: ("dst", _source(op))),
    Kind.CAST: None,
    Kind.NEG: Writing(lambda op: (_sized(op),), lambda _: ("dst",)),
    Kind.END: Writing(_end, lambda _: ("dst",)),
    Kind.JA: Writing(lambda op: (_sized(op),), lambda op: ("to" if op.width == 64 else "far",)),
    Kind.JCOND: Writing(lambda op: (_sized(op),), lambda op: ("dst", _source(op), "to")),
    Kind.MAY_GOTO: None,
    Kind.CALL_HELPER: Writing(lambda _: ("call", "call helper"), lambda _: ("imm",)),
    Kind.CALL_LOCAL: Writing(lambda _: ("call local",), lambda _: ("far",)),
    Kind.CALL_KFUNC: Writing(lambda _: ("call runtime",), lambda _: ("imm",)),
    Kind.CALL_REG: Writing(lambda _: ("call", "call helper"), lambda _: ("dst",)),
    Kind.EXIT: Writing(lambda _: ("exit",), lambda _: ()),
    Kind.LDDW: Writing(
        lambda op: ("lddw",) if op.name == "lddw" else (), lambda _: ("dst", "wide")
    ),
    Kind.LOAD: Writing(_access, lambda _: ("dst", "from")),
    Kind.STORE_IMM: Writing(_access, lambda _: ("into", "imm")),
    Kind.STORE_REG: Writing(_access, lambda _: ("into", "src")),
    Kind.ATOMIC: Writing(_atomic, lambda _: ("into", "src")),
    Kind.LEGACY: None,
}


class MnemonicForm(NamedTuple):
    """An operation that a mnemonic may be, and its operands."""

    op: Op
    operands: tuple[str, ...]


def _mnemonics() -> dict[str, tuple[MnemonicForm, ...]]:
    table: dict[str, tuple[MnemonicForm, ...]] = {}
    for op in OPS:
        writing = WRITINGS[op.kind]
        if writing is None:
            continue
        for name in writing.mnemonics(op):
            table[name] = (*table.get(name, ()), MnemonicForm(op, writing.operands(op)))
    return table


#: Rows of one mnemonic differ in whether an operand is a register or a number.
MNEMONICS = _mnemonics()

_COMMENT = re.compile(r"#.*")
_LABEL = re.compile(r"([A-Za-z_]\w*):", re.ASCII)
_PREFIXED = re.compile(r"lock\s+(?:fetch\s+)?[a-z]\w*|call\s+(?:local|helper|runtime)\b|\S+")
_NUMBER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})")
_REGISTER = re.compile(r"%r([0-9]{1,2})")
_MEMORY = re.compile(r"\[\s*(?P<reg>%r[0-9]+)\s*(?P<off>[+-][0-9a-zA-Z]+)?\s*\]")
_REGISTERS = frozenset({"dst", "src"})


class _Line(NamedTuple):
    """A statement; `number` is its line in the text."""

    number: int
    text: str
    slot: int
    shape: MnemonicForm
    operands: tuple[str, ...]


def assemble_dialect(text: str, first_line: int = 1) -> tuple[Insn, ...]:
    """Assemble a program. `first_line` is the number of the text's first line, for errors.

    Raises AsmError with the line, the offending text and what was expected.
    """
    lines: list[_Line] = []
    labels: dict[str, int] = {}
    slot = 0
    for number, source in _statements(text, first_line):
        if label := _LABEL.fullmatch(source):
            if label[1] in labels:
                raise _error(number, source, "label is defined twice")
            labels[label[1]] = slot
            continue
        line = _recognise(number, source, slot)
        lines.append(line)
        slot += line.shape.op.slots
    for line in lines:
        if line.shape.op.kind is Kind.EXIT:
            labels.setdefault("exit", line.slot)
            break
    return tuple(insn for line in lines for insn in _encode(line, labels))


def _statements(text: str, first_line: int) -> Iterator[tuple[int, str]]:
    for number, raw in enumerate(text.splitlines(), first_line):
        source = _COMMENT.sub("", raw).strip()
        if source:
            yield number, source


def _error(line: int, text: str, message: str, hint: str | None = None) -> AsmError:
    shown = text if len(text) <= 80 else f"{text[:80]}..."
    return AsmError(f"`{shown}`: {message}", line=line, hint=hint)


def _recognise(number: int, source: str, slot: int) -> _Line:
    match = _PREFIXED.match(source)
    assert match is not None, "a statement is not empty"
    mnemonic = " ".join(match[0].split())
    shapes = MNEMONICS.get(mnemonic)
    if shapes is None:
        if mnemonic in ("lock", "lock fetch"):
            raise _error(number, source, "lock needs an operation and its operands")
        raise _error(number, source, f"unknown mnemonic {mnemonic}")
    rest = source[match.end() :].strip()
    operands = tuple(o.strip() for o in rest.split(",")) if rest else ()
    wanted = {len(s.operands) for s in shapes}
    if len(operands) not in wanted:
        expected = " or ".join(map(str, sorted(wanted)))
        raise _error(number, source, f"{mnemonic} takes {expected} operands, not {len(operands)}")
    return _Line(number, source, slot, _fitting(shapes, operands), operands)


def _fitting(shapes: tuple[MnemonicForm, ...], operands: tuple[str, ...]) -> MnemonicForm:
    """The form whose register operands are those that the statement has. The first form if none
    fits: encoding it then raises the error."""
    for shape in shapes:
        if all(
            (name in _REGISTERS) == operand.startswith("%")
            for name, operand in zip(shape.operands, operands, strict=False)
            if name in _REGISTERS or name == "imm"
        ):
            return shape
    return shapes[0]


def _encode(line: _Line, labels: dict[str, int]) -> tuple[Insn, ...]:
    op = line.shape.op
    fields = {str(f): v for f, v in op.select}
    for name, text in zip(line.shape.operands, line.operands, strict=True):
        if name in _REGISTERS:
            fields[name] = _register(line, text)
        elif name in ("from", "into"):
            register, off = _memory(line, text)
            fields["src" if name == "from" else "dst"] = register
            fields["off"] = off
        elif name in ("to", "far"):
            field, bits = ("off", 16) if name == "to" else ("imm", 32)
            fields[field] = _target(line, text, labels, bits)
        elif name == "wide":
            wide = _number(line, text, -(1 << 63), (1 << 64) - 1, "64 bits")
            fields["imm"], fields["next"] = wide & 0xFFFFFFFF, wide >> 32 & 0xFFFFFFFF
        else:
            # Hexadecimal numbers are bit patterns, decimal ones are signed.
            high = (1 << 32) - 1 if "x" in text.lower() else (1 << 31) - 1
            fields["imm"] = _number(line, text, -(1 << 31), high, "32 bits")
    return slots_of(op, fields)


def _register(line: _Line, text: str) -> int:
    match = _REGISTER.fullmatch(text)
    if match is None or int(match[1]) > 10:
        raise _error(line.number, line.text, f"`{text}` is no register", "expected %r0 to %r10")
    return int(match[1])


def _memory(line: _Line, text: str) -> tuple[int, int]:
    match = _MEMORY.fullmatch(text)
    if match is None:
        raise _error(line.number, line.text, f"`{text}` is no address", "expected e.g. [%r1+8]")
    off = match["off"]
    number = 0 if off is None else _number(line, off, -(1 << 15), (1 << 15) - 1, "16 bits")
    return _register(line, match["reg"]), number


def _target(line: _Line, text: str, labels: dict[str, int], bits: int) -> int:
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    if text.startswith(("+", "-")):
        return _number(line, text, low, high, f"{bits} bits")
    if text not in labels:
        raise _error(line.number, line.text, f"no label {text}", "expected a label or +N")
    distance = labels[text] - line.slot - 1
    if not low <= distance <= high:
        raise _error(line.number, line.text, f"label {text} is too far away for {bits} bits")
    return distance


def _number(line: _Line, text: str, low: int, high: int, bits: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise _error(line.number, line.text, f"`{text}` is no number")
    value = int(text, 16 if "x" in text.lower() else 10)
    if not low <= value <= high:
        raise _error(line.number, line.text, f"{text} does not fit into {bits}")
    return value
