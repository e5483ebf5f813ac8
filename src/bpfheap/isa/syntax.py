"""How each operation is written: the style of the kernel's verifier log (print_bpf_insn in
kernel/bpf/disasm.c), one set of forms per row of the instruction table.

The disassembler fills a form in, the assembler recognises it; neither knows an instruction that
has no form here. What the kernel's log cannot express gets a form of its own: the `ll` after a
64-bit immediate, `callx`, names of maps, functions and kfuncs.

    r1 = map[name:hash] ll             the map            ref (map, hash, 0)
    r1 = map[name:data][0]+8 ll        inside its value   ref (map-value, data, 8)
    r2 = func[name:callback] ll        a label's address  ref (func, callback, 0)
    r1 = ksym[name:variable] ll        a kernel variable  ref (ksym, variable, 0)
    call kfunc bpf_mem_alloc                              ref (kfunc, bpf_mem_alloc, 0)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import product
from string import Formatter
from typing import NamedTuple

from bpfheap.isa.insn import Insn
from bpfheap.isa.ops import OPS, Kind, Op

_S16 = (-(1 << 15), (1 << 15) - 1)
_S32 = (-(1 << 31), (1 << 31) - 1)
_ANY32 = (-(1 << 31), (1 << 32) - 1)
_ANY64 = (-(1 << 63), (1 << 64) - 1)


class Mark:
    """Kinds of tokens that are operands. The mark of any other token is its own text."""

    REG64 = "<r>"  # r0 to r10
    REG32 = "<w>"  # w0 to w10: the lower half
    NUMBER = "<number>"
    TARGET = "<pc>"  # pc+3
    NAME = "<name>"
    INDEX = "<#>"  # #1


MARKS = frozenset({Mark.REG64, Mark.REG32, Mark.NUMBER, Mark.TARGET, Mark.NAME, Mark.INDEX})


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand of a form."""

    #: Tokens that may stand for it.
    marks: tuple[str, ...]
    #: The field of Insn that holds it; "next": the imm of the second slot, "wide": both imms, "":
    #: no field, `span` allows one value only.
    field: str
    #: The least and the greatest value.
    span: tuple[int, int]
    #: An example, for error messages.
    like: str
    #: Its text, from a slot and the second slot's imm; None if it is written from the reference.
    write: Callable[[Insn, int], str] | None


def _wide(insn: Insn, second: int) -> str:
    return f"0x{(second & 0xFFFFFFFF) << 32 | insn.imm & 0xFFFFFFFF:x}"


_REGS, _NUM, _JUMP = (0, 10), (Mark.NUMBER,), (Mark.TARGET, Mark.NAME)

OPERANDS: dict[str, Operand] = {
    "rd": Operand((Mark.REG64,), "dst", _REGS, "r1", lambda i, _: f"r{i.dst}"),
    "wd": Operand((Mark.REG32,), "dst", _REGS, "w1", lambda i, _: f"w{i.dst}"),
    "rs": Operand((Mark.REG64,), "src", _REGS, "r2", lambda i, _: f"r{i.src}"),
    "ws": Operand((Mark.REG32,), "src", _REGS, "w2", lambda i, _: f"w{i.src}"),
    "r0": Operand((Mark.REG64,), "", (0, 0), "r0", lambda _i, _n: "r0"),
    "one": Operand(_NUM, "", (1, 1), "1", lambda _i, _n: "1"),
    "zero": Operand(_NUM, "", (0, 0), "0", lambda _i, _n: "0"),
    # An immediate that is sign extended to 64 bits: 0xffffffff would not mean what it says.
    "imm": Operand(_NUM, "imm", _S32, "7", lambda i, _: f"{i.imm}"),
    "imm32": Operand(_NUM, "imm", _ANY32, "7", lambda i, _: f"{i.imm}"),
    "hex": Operand(_NUM, "imm", _ANY32, "0x7", lambda i, _: f"0x{i.imm & 0xFFFFFFFF:x}"),
    "wide": Operand(_NUM, "wide", _ANY64, "0x7", _wide),
    "next": Operand(_NUM, "next", _ANY32, "+8", lambda _, n: f"{n:+d}"),
    "off": Operand(_NUM, "off", _S16, "+8", lambda i, _: f"{i.off:+d}"),
    "module": Operand(_NUM, "off", _S16, "0", lambda i, _: f"{i.off}"),
    "index": Operand((Mark.INDEX,), "imm", _S32, "#1", lambda i, _: f"#{i.imm}"),
    "to": Operand(_JUMP, "off", _S16, "pc+3", lambda i, _: f"pc{i.off:+d}"),
    "far": Operand(_JUMP, "imm", _S32, "pc+3", lambda i, _: f"pc{i.imm:+d}"),
    "label": Operand((Mark.NAME,), "imm", _S32, "name", None),
    "name": Operand((Mark.NAME,), "", (0, 0), "name", None),
    "at": Operand(_NUM, "next", _ANY32, "+8", None),
}


@cache
def _pieces(template: str) -> tuple[tuple[str, str | None], ...]:
    return tuple((literal, name) for literal, name, _, _ in Formatter().parse(template))


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write an operation."""

    #: Literal text with {operand} in it.
    template: str
    #: The kind of reference that it names; None if it names none.
    symbol: str | None = None
    #: Only recognised with its opcode in front, "(18) ...".
    prefixed: bool = False

    def pieces(self) -> tuple[tuple[str, str | None], ...]:
        """Literal text and the name of the operand after it, if there is one."""
        return _pieces(self.template)

    def example(self) -> str:
        return "".join(t + (OPERANDS[n].like if n else "") for t, n in self.pieces())


_ALU_SIGNS = {
    "add": "+=", "sub": "-=", "mul": "*=", "div": "/=", "sdiv": "s/=", "or": "|=", "and": "&=",
    "lsh": "<<=", "rsh": ">>=", "mod": "%=", "smod": "s%=", "xor": "^=", "arsh": "s>>=",
}  # fmt: skip
_JUMP_SIGNS = {
    "jeq": "==", "jgt": ">", "jge": ">=", "jset": "&", "jne": "!=", "jsgt": "s>", "jsge": "s>=",
    "jlt": "<", "jle": "<=", "jslt": "s<", "jsle": "s<=",
}  # fmt: skip
#: The address space that it is for, and the one that it is of.
_SPACES = {"cast_kern": "{zero}, {one}", "cast_user": "{one}, {zero}"}
_LDDW_FORMS = {
    # The kernel's log has no `ll`; without the opcode in front that would be a mov.
    "lddw": (Form("{rd} = {wide} ll"), Form("{rd} = {wide}", prefixed=True)),
    "map": (Form("{rd} = map[fd:{imm}] ll"), Form("{rd} = map[name:{name}] ll", "map")),
    "map_value": (
        Form("{rd} = map[fd:{imm}][{zero}]{next} ll"),
        Form("{rd} = map[name:{name}][{zero}]{at} ll", "map-value"),
    ),
    "var": (Form("{rd} = var[id:{imm}] ll"), Form("{rd} = ksym[name:{name}] ll", "ksym")),
    "func": (Form("{rd} = func[{far}] ll"), Form("{rd} = func[name:{label}] ll", "func")),
    "map_idx": (Form("{rd} = map[idx:{imm}] ll"),),
    "map_idx_value": (Form("{rd} = map[idx:{imm}][{zero}]{next} ll"),),
}


def _single_form(template: str) -> tuple[Form, ...]:
    return (Form(template),)


def _dst(op: Op) -> str:
    return "{rd}" if op.width == 64 else "{wd}"


def _operand(op: Op) -> str:
    if op.reg:
        return "{rs}" if op.width == 64 else "{ws}"
    return "{imm}" if op.width == 64 else "{imm32}"


def _memory(op: Op, register: str) -> str:
    return f"({'s' if op.sx else 'u'}{op.width} *)({{{register}}} {{off}})"


def _mov(op: Op) -> tuple[Form, ...]:
    cast = f"(s{op.sx})" if op.sx else ""
    return _single_form(f"{_dst(op)} = {cast}{_operand(op)}")


def _jcond(op: Op) -> tuple[Form, ...]:
    right = _operand(op) if op.reg else "{hex}"
    return _single_form(f"if {_dst(op)} {_JUMP_SIGNS[op.name]} {right} goto {{to}}")


def _atomic(op: Op) -> tuple[Form, ...]:
    memory = _memory(op, "rd")
    if not op.fetch:
        return _single_form(f"lock *{memory} {_ALU_SIGNS[op.name]} {{rs}}")
    call = f"atomic{'64' if op.width == 64 else ''}_"
    if op.name == "cmpxchg":
        return _single_form(f"{{r0}} = {call}cmpxchg({memory}, {{r0}}, {{rs}})")
    name = op.name if op.name == "xchg" else f"fetch_{op.name}"
    return _single_form(f"{{rs}} = {call}{name}({memory}, {{rs}})")


def _load(op: Op) -> tuple[Form, ...]:
    memory = _memory(op, "rs")
    return _single_form(f"{{rd}} = {f'{op.name}({memory})' if op.atomic else f'*{memory}'}")


def _store_reg(op: Op) -> tuple[Form, ...]:
    memory = _memory(op, "rd")
    return _single_form(f"{op.name}({memory}, {{rs}})" if op.atomic else f"*{memory} = {{rs}}")


def _legacy(op: Op) -> tuple[Form, ...]:
    index = "{rs} + {imm}" if op.name == "ldind" else "{imm}"
    return _single_form(f"{{r0}} = *(u{op.width} *)skb[{index}]")


_BY_KIND: dict[Kind, Callable[[Op], tuple[Form, ...]]] = {
    Kind.ALU: lambda op: _single_form(f"{_dst(op)} {_ALU_SIGNS[op.name]} {_operand(op)}"),
    Kind.MOV: _mov,
    Kind.CAST: lambda op: _single_form(f"{{rd}} = addr_space_cast({{rs}}, {_SPACES[op.name]})"),
    Kind.NEG: lambda op: _single_form(f"{_dst(op)} = -{_dst(op)}"),
    Kind.END: lambda op: _single_form(f"{{rd}} = {op.name}{op.width} {{rd}}"),
    Kind.JA: lambda op: _single_form("goto {to}" if op.width == 64 else "gotol {far}"),
    Kind.JCOND: _jcond,
    Kind.MAY_GOTO: lambda _: _single_form("may_goto {to}"),
    Kind.CALL_HELPER: lambda _: (
        Form("call {name}{index}"),
        Form("call {index}"),
        Form("call {name}"),
    ),
    Kind.CALL_LOCAL: lambda _: _single_form("call {far}"),
    Kind.CALL_KFUNC: lambda _: (
        Form("call kfunc {index} of btf {module}"),
        Form("call kfunc {index}"),
        Form("call kfunc {name}", "kfunc"),
    ),
    Kind.CALL_REG: lambda _: _single_form("callx {rd}"),
    Kind.EXIT: lambda _: _single_form("exit"),
    Kind.LDDW: lambda op: _LDDW_FORMS[op.name],
    Kind.LOAD: _load,
    Kind.STORE_IMM: lambda op: _single_form(f"*{_memory(op, 'rd')} = {_operand(op)}"),
    Kind.STORE_REG: _store_reg,
    Kind.ATOMIC: _atomic,
    Kind.LEGACY: _legacy,
}

#: What each operation looks like. The first form says everything that the slots say.
FORMS: dict[Op, tuple[Form, ...]] = {op: _BY_KIND[op.kind](op) for op in OPS}

#: The form that names a reference of a kind, for an instruction of a kind.
SYMBOLIC: dict[tuple[Kind, str], Form] = {
    (op.kind, form.symbol): form for op, forms in FORMS.items() for form in forms if form.symbol
}


class Token(NamedTuple):
    """A token of a statement; `mark` is a Mark, or the text itself."""

    mark: str
    text: str


_TOKEN = re.compile(
    r"""
    (?P<index>  \#-?[0-9]+(?!\w))
  | (?P<reg>    [rw][0-9]+(?!\w))
  | (?P<number> [+-]?(?:0[xX][0-9a-fA-F]+|[0-9]+)(?!\w))
  | (?P<target> pc[+-][0-9]+(?!\w))
  | (?P<sign>   s?(?:>>=|<<=|>=|<=|/=|%=|>|<)|[-+*|&^=!]=|[-+=&*()\[\],])
  | (?P<key>    (?:name|fd|idx|id):)
  | (?P<word>   [A-Za-z_]\w*)
    """,
    re.VERBOSE | re.ASCII,
)
# After these a word is a name, whatever it looks like.
_BEFORE_NAME = frozenset({"goto", "gotol", "may_goto", "call", "kfunc"})
_NAME = re.compile(r"(?!pc[+-][0-9])[A-Za-z_.$][\w.$]*", re.ASCII)
_QUOTED = re.compile(r"[^\]\s]+")


def tokens(text: str, previous: str = "") -> list[Token] | int:
    """The tokens of a statement, or the index of the first character that starts no token.
    `previous` is the token in front of the text."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        pattern = _NAME if previous in _BEFORE_NAME else _QUOTED if previous == "name:" else None
        match = pattern.match(text, at) if pattern else None
        if match and not (previous == "call" and match[0] == "kfunc"):
            token = Token(Mark.NAME, match[0])
        else:
            match = _TOKEN.match(text, at)
            if match is None:
                return at
            token = Token(_mark(match), match[0])
        found.append(token)
        previous = "" if token.mark in MARKS else token.text
        at = match.end()
    return found


def _mark(match: re.Match[str]) -> str:
    match match.lastgroup:
        case "reg":
            return Mark.REG64 if match[0][0] == "r" else Mark.REG32
        case "number":
            return Mark.NUMBER
        case "target":
            return Mark.TARGET
        case "index":
            return Mark.INDEX
        case _:
            return match[0]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An operation and form that a statement with these marks may be. `operands` are names in
    OPERANDS, in order."""

    op: Op
    form: Form
    operands: tuple[str, ...]


def _shapes() -> dict[tuple[str, ...], tuple[Candidate, ...]]:
    shapes: dict[tuple[str, ...], tuple[Candidate, ...]] = {}
    for op, forms in FORMS.items():
        for form in forms:
            choices: list[tuple[str, ...]] = []
            operands: list[str] = []
            for literal, name in form.pieces():
                words = tokens(literal, choices[-1][0] if choices else "")
                assert isinstance(words, list), form.template
                choices += [(t.mark,) for t in words]
                if name is not None:
                    choices.append(OPERANDS[name].marks)
                    operands.append(name)
            candidate = Candidate(op, form, tuple(operands))
            for shape in product(*choices):
                shapes[shape] = (*shapes.get(shape, ()), candidate)
    return shapes


#: The marks of a statement's tokens -> the operations that it may be.
SHAPES: dict[tuple[str, ...], tuple[Candidate, ...]] = _shapes()


def nearest_form(marks: tuple[str, ...]) -> str:
    """For the error about a statement that has no form: an example of the form whose marks agree
    with its marks longest, from the left."""

    def agreement(shape: tuple[str, ...]) -> int:
        count = 0
        for a, b in zip(shape, marks, strict=False):
            if a != b:
                break
            count += 1
        return count

    best = max(SHAPES, key=lambda shape: (agreement(shape), -abs(len(shape) - len(marks))))
    return SHAPES[best][0].form.example()
