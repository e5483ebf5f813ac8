"""The instruction set: one table row per operation (RFC 9669, sections 4 and 5).

Assembler, disassembler, verifier and interpreters look a slot up with `op_of` and dispatch on
the row; none of them takes opcodes apart again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bpfheap.errors import InsnError, UnofferedInsn
from bpfheap.isa.insn import Insn

# Instruction classes (RFC 9669 table 2).
LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
# Source bit (section 4): the operand is a register.
X = 0x08
# Load/store modes (table 12) and sizes (table 11).
IMM, ABS, IND, MEM, MEMSX, ATOMIC = 0x00, 0x20, 0x40, 0x60, 0x80, 0xC0
_MODE_AND_CLASS = 0xE7
_SIZES = {8: 0x10, 16: 0x08, 32: 0x00, 64: 0x18}
#: For those who look at slots that may be no instructions.
CALL_OPCODE, LDDW_OPCODE = 0x80 | JMP, IMM | _SIZES[64] | LD
# Atomic modifier (section 5.3): the operation returns the old value.
FETCH = 0x01


class Kind(StrEnum):
    """The groups of operations that are handled alike; each consumer has one branch per kind."""

    ALU = "alu"  # dst = dst `name` operand
    MOV = "mov"  # dst = operand, sign extended from `sx` bits if sx
    CAST = "cast"  # from one address space to the other, for arenas; `name` tells which way
    NEG = "neg"
    END = "end"  # byte order: le, be, bswap on `width` bits (16, 32, 64)
    JA = "ja"  # offset in off (width 64) or imm (width 32: gotol)
    JCOND = "jcond"
    MAY_GOTO = "may_goto"  # BPF_JCOND: jumps once the program has taken long enough
    CALL_HELPER = "call-helper"
    CALL_LOCAL = "call-local"
    CALL_KFUNC = "call-kfunc"
    CALL_REG = "call-reg"  # callx: the helper's number is in register dst
    EXIT = "exit"
    LDDW = "lddw"  # two slots; `name` tells the meaning of the immediates
    LOAD = "load"  # dst = *(uN *)(src + off); sign extended if sx
    STORE_IMM = "store-imm"
    STORE_REG = "store-reg"
    ATOMIC = "atomic"  # reads and writes at once
    LEGACY = "legacy"  # packet access of classic BPF (section 5.4)


#: Calls that leave the program.
OUTSIDE = frozenset({Kind.CALL_HELPER, Kind.CALL_KFUNC, Kind.CALL_REG})


class ControlFlow(StrEnum):
    """Where a program goes on after an instruction."""

    NEXT = "next"  # behind it; calls that leave the program come back there
    JUMP = "jump"  # at its target
    BRANCH = "branch"  # at its target or behind it
    CALL = "call"  # at its target, and behind it once that function returns
    END = "end"  # where the function was called


class Uses(StrEnum):
    """The fields of a slot that an operation reads or that select it; all others must be 0."""

    DST = "dst"
    SRC = "src"
    OFF = "off"
    IMM = "imm"


@dataclass(frozen=True, slots=True)
class Op:
    """One operation.

    `name`: add sub mul div sdiv or and lsh rsh neg mod smod xor mov arsh; cast_kern cast_user;
    le be bswap; ja;
    jeq jgt jge jset jne jsgt jsge jlt jle jslt jsle may_goto; call exit; lddw map map_value var
    func map_idx map_idx_value; ldx load_acquire st stx store_release; xchg cmpxchg (and add or and
    xor) for atomics.
    `width`: bits that are operated on (32, 64), or the access size in bits.
    `reg`: the operand is register src, else imm. `sx`: bits to sign extend from, or 0.
    `fetch`: an atomic that returns the old value.
    `select`: the (field, value) pairs that tell this row from others with the same opcode.
    `wide_imm`: the imm of the second slot is used too (RFC 9669 table 15, `next_imm`).
    `distance`: the field that says how far the target lies behind the next slot.
    `unbounded`: loops through it end, but nobody knows beforehand when.
    `slots`: how many slots the instruction takes. `size`: the access size in bytes of a load, store
    or atomic. `atomic`: its mode is BPF_ATOMIC: nobody sees half of what it does, where its address
    is aligned; a load then acquires, and a store releases.

    Raises ValueError for facts that exclude each other.
    """

    name: str
    kind: Kind
    opcode: int
    width: int = 64
    reg: bool = False
    sx: int = 0
    fetch: bool = False
    uses: frozenset[Uses] = frozenset()
    select: tuple[tuple[Uses, int], ...] = ()
    wide_imm: bool = False
    flow: ControlFlow = ControlFlow.NEXT
    distance: Uses | None = None
    unbounded: bool = False
    slots: int = field(init=False, repr=False, compare=False)
    size: int = field(init=False, repr=False, compare=False)
    atomic: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "slots", 2 if self.kind is Kind.LDDW else 1)
        object.__setattr__(self, "size", self.width // 8)
        object.__setattr__(self, "atomic", self.opcode & _MODE_AND_CLASS == ATOMIC | STX)
        jumps = self.opcode & 0x07 in (JMP, JMP32) and self.kind not in OUTSIDE
        if jumps != (self.flow is not ControlFlow.NEXT):
            raise ValueError(f"{self.name}: a row of a jump class says where it leads")
        if (self.distance is None) != (self.flow in (ControlFlow.NEXT, ControlFlow.END)):
            raise ValueError(f"{self.name}: a row has a distance if it leads to a target")
        if self.distance is not None and self.distance not in self.uses:
            raise ValueError(f"{self.name}: {self.distance} is the distance, and not used")

    def target(self, insn: Insn, slot: int) -> int:
        """The slot that an instruction at `slot` leads to. Only where there is a distance."""
        assert self.distance is not None, f"{self.name} leads nowhere"
        return slot + 1 + (insn.imm if self.distance is Uses.IMM else insn.off)


_D, _S, _O, _I = Uses.DST, Uses.SRC, Uses.OFF, Uses.IMM

# name -> (code, off that selects it): table 3.
_ALU_CODES = {
    "add": (0x00, 0), "sub": (0x10, 0), "mul": (0x20, 0), "div": (0x30, 0), "sdiv": (0x30, 1),
    "or": (0x40, 0), "and": (0x50, 0), "lsh": (0x60, 0), "rsh": (0x70, 0), "mod": (0x90, 0),
    "smod": (0x90, 1), "xor": (0xA0, 0), "arsh": (0xC0, 0),
}  # fmt: skip
# Table 6.
_JUMP_CODES = {
    "jeq": 0x10, "jgt": 0x20, "jge": 0x30, "jset": 0x40, "jne": 0x50, "jsgt": 0x60,
    "jsge": 0x70, "jlt": 0xA0, "jle": 0xB0, "jslt": 0xC0, "jsle": 0xD0,
}  # fmt: skip
# Tables 13 and 14: name -> (imm, the old value comes back).
_ATOMIC_CODES = {
    ("add", False): 0x00, ("or", False): 0x40, ("and", False): 0x50, ("xor", False): 0xA0,
    ("add", True): 0x01, ("or", True): 0x41, ("and", True): 0x51, ("xor", True): 0xA1,
    ("xchg", True): 0xE0 | FETCH, ("cmpxchg", True): 0xF0 | FETCH,
}  # fmt: skip
# Not of the RFC: BPF_ADDR_SPACE_CAST. The immediate has the address space that an address is for in
# its upper half, and the one that it is of in its lower half: 1 is that of arenas.
CAST_OPCODE, CAST_OFFSET = 0xB0 | ALU64 | X, 1
ADDRESS_SPACES = {"cast_kern": 1, "cast_user": 1 << 16}
# Not of the RFC: BPF_LOAD_ACQ and BPF_STORE_REL of Linux 6.15, beside the operations above.
_ACQUIRE, _RELEASE = 0x100, 0x110
# Table 15: the src field of a wide instruction -> what its immediates mean; those that use both.
_LDDW_KINDS = ("lddw", "map", "map_value", "var", "func", "map_idx", "map_idx_value")
_WIDE_IMM = frozenset({"lddw", "map_value", "map_idx_value"})


def _rows() -> list[Op]:
    rows: list[Op] = []

    def row(
        name: str, kind: Kind, opcode: int, width: int = 64, *uses: Uses, reg: bool = False,
        sx: int = 0, fetch: bool = False, wide_imm: bool = False,
        flow: ControlFlow = ControlFlow.NEXT,
        distance: Uses | None = None, unbounded: bool = False, **select: int,
    ) -> None:  # fmt: skip
        chosen = tuple((Uses(f), v) for f, v in select.items())
        used = frozenset(uses) | {f for f, _ in chosen}
        rows.append(
            Op(name, kind, opcode, width, reg, sx, fetch, used, chosen, wide_imm, flow, distance,
               unbounded)
        )  # fmt: skip

    for cls, width in ((ALU64, 64), (ALU, 32)):
        for name, (code, off) in _ALU_CODES.items():
            row(name, Kind.ALU, code | cls, width, _D, _I, off=off)
            row(name, Kind.ALU, code | cls | X, width, _D, _S, reg=True, off=off)
        row("neg", Kind.NEG, 0x80 | cls, width, _D)
        row("mov", Kind.MOV, 0xB0 | cls, width, _D, _I)
        row("mov", Kind.MOV, 0xB0 | cls | X, width, _D, _S, reg=True, off=0)
        for sx in (8, 16, 32)[: 3 if width == 64 else 2]:
            row("mov", Kind.MOV, 0xB0 | cls | X, width, _D, _S, reg=True, sx=sx, off=sx)
    for name, spaces in ADDRESS_SPACES.items():
        row(name, Kind.CAST, CAST_OPCODE, 64, _D, _S, reg=True, off=CAST_OFFSET, imm=spaces)
    for bits in (16, 32, 64):
        row("le", Kind.END, 0xD0 | ALU, bits, _D, imm=bits)
        row("be", Kind.END, 0xD0 | ALU | X, bits, _D, imm=bits)
        row("bswap", Kind.END, 0xD0 | ALU64, bits, _D, imm=bits)
    row("ja", Kind.JA, 0x00 | JMP, 64, _O, flow=ControlFlow.JUMP, distance=_O)
    row("ja", Kind.JA, 0x00 | JMP32, 32, _I, flow=ControlFlow.JUMP, distance=_I)
    row("may_goto", Kind.MAY_GOTO, 0xE0 | JMP, 64, _O, flow=ControlFlow.BRANCH, distance=_O,
        unbounded=True)  # fmt: skip
    for cls, width in ((JMP, 64), (JMP32, 32)):
        for name, code in _JUMP_CODES.items():
            row(name, Kind.JCOND, code | cls, width, _D, _O, _I,
                flow=ControlFlow.BRANCH, distance=_O)  # fmt: skip
            row(name, Kind.JCOND, code | cls | X, width, _D, _S, _O, reg=True,
                flow=ControlFlow.BRANCH, distance=_O)  # fmt: skip
    row("call", Kind.CALL_HELPER, CALL_OPCODE, 64, _I, src=0)
    row("call", Kind.CALL_LOCAL, CALL_OPCODE, 64, _I, src=1, flow=ControlFlow.CALL, distance=_I)
    # The kernel keeps the index of a module's BTF in off.
    row("call", Kind.CALL_KFUNC, CALL_OPCODE, 64, _I, _O, src=2)
    row("callx", Kind.CALL_REG, CALL_OPCODE | X, 64, _D)
    row("exit", Kind.EXIT, 0x90 | JMP, flow=ControlFlow.END)
    for src, name in enumerate(_LDDW_KINDS):
        wide = name in _WIDE_IMM
        row(name, Kind.LDDW, LDDW_OPCODE, 64, _D, _I, wide_imm=wide, src=src)
    for bits, size in _SIZES.items():
        row("ldx", Kind.LOAD, MEM | size | LDX, bits, _D, _S, _O)
        row("st", Kind.STORE_IMM, MEM | size | ST, bits, _D, _O, _I)
        row("stx", Kind.STORE_REG, MEM | size | STX, bits, _D, _S, _O, reg=True)
        if bits < 64:
            row("ldx", Kind.LOAD, MEMSX | size | LDX, bits, _D, _S, _O, sx=bits)
            row("ldabs", Kind.LEGACY, ABS | size | LD, bits, _I)
            row("ldind", Kind.LEGACY, IND | size | LD, bits, _S, _I)
    for bits in (32, 64):
        for (name, fetch), imm in _ATOMIC_CODES.items():
            opcode = ATOMIC | _SIZES[bits] | STX
            row(name, Kind.ATOMIC, opcode, bits, _D, _S, _O, reg=True, fetch=fetch, imm=imm)
    for bits, size in _SIZES.items():
        opcode = ATOMIC | size | STX
        row("load_acquire", Kind.LOAD, opcode, bits, _D, _S, _O, imm=_ACQUIRE)
        row("store_release", Kind.STORE_REG, opcode, bits, _D, _S, _O, reg=True, imm=_RELEASE)
    return rows


#: Instructions of Linux 6.18 that have no row, by opcode: their names, and the offset and the
#: immediates that select them.
_UNOFFERED: dict[int, tuple[tuple[str, int, tuple[int, ...]], ...]] = {}

#: Every operation there is.
OPS: tuple[Op, ...] = tuple(_rows())

_BY_OPCODE: dict[int, list[Op]] = {}
for _op in OPS:
    _BY_OPCODE.setdefault(_op.opcode, []).append(_op)

#: `_BY_OPCODE` prepared for `op_of`: each row with the indices in Insn (and values) of the fields
#: that select it, and the indices of the fields that must be 0.
_ROW_CHECKS: dict[
    int, tuple[tuple[Op, tuple[tuple[int, int], ...], tuple[int, ...]], ...]
] = {
    opcode: tuple(
        (
            op,
            tuple((Insn._fields.index(field), value) for field, value in op.select),
            tuple(Insn._fields.index(field) for field in Uses if field not in op.uses),
        )
        for op in rows
    )
    for opcode, rows in _BY_OPCODE.items()
}  # fmt: skip


#: What Linux calls instructions of which it refuses a field, where that is not "BPF_ALU" and such.
_LINUX_NAMES = {
    Kind.ALU: "BPF_ALU", Kind.MOV: "BPF_MOV", Kind.NEG: "BPF_NEG", Kind.END: "BPF_END",
    Kind.LOAD: "BPF_LDX", Kind.STORE_REG: "BPF_STX", Kind.STORE_IMM: "BPF_ST",
    Kind.ATOMIC: "BPF_ATOMIC", Kind.LDDW: "BPF_LD_IMM64", Kind.LEGACY: "BPF_LD_[ABS|IND]",
    Kind.JCOND: "BPF_JMP/JMP32", Kind.JA: "BPF_JA", Kind.EXIT: "BPF_EXIT",
    Kind.CALL_HELPER: "BPF_CALL", Kind.CALL_KFUNC: "BPF_CALL", Kind.CALL_LOCAL: "BPF_CALL",
}  # fmt: skip
_BAD_WIDE = "invalid bpf_ld_imm64 insn"


def _insn_error(message: str, slot: int | None, linux: str) -> InsnError:
    return InsnError(message if slot is None else f"slot {slot}: {message}", insn=slot, linux=linux)


def _reserved(kind: Kind) -> str:
    """What Linux says where a field has to be 0."""
    return f"{_LINUX_NAMES[kind]} uses reserved fields" if kind in _LINUX_NAMES else ""


def _unknown(opcode: int) -> str:
    """What Linux says of an opcode (resolve_pseudo_ldimm64): it asks loads for their mode first."""
    if opcode & 7 == LDX:
        return _reserved(Kind.LOAD)
    return f"unknown opcode {opcode:02x}"


def _unselected(insn: Insn, op: Op) -> str:
    """What Linux says of a field whose value selects no operation (check_atomic)."""
    if op.atomic:
        if insn.imm in _ATOMIC_CODES.values():
            return "invalid atomic operand size"
        return f"BPF_ATOMIC uses invalid atomic opcode {insn.imm & 0xFFFFFFFF:02x}"
    if op.opcode == CAST_OPCODE and insn.off == CAST_OFFSET:
        return "addr_space_cast insn can only convert between address space 1 and 0"
    return "unrecognized bpf_ld_imm64 insn" if op.kind is Kind.LDDW else _reserved(op.kind)


def op_of(insn: Insn, slot: int | None = None) -> Op:
    """The row of one slot. `slot` is for the error only.

    The second slot of a wide instruction is not an instruction (opcode 0): callers skip it.
    Raises InsnError for an unknown opcode, for a field value that selects nothing, for a register
    above r10, and for a field that is not 0 although the operation does not use it.
    """
    for op, select, unused in _ROW_CHECKS.get(insn[0], ()):
        for at, value in select:
            if insn[at] != value:
                break
        else:
            for at in unused:
                if insn[at]:
                    raise _op_error(insn, slot)
            if insn[1] > 10 or insn[2] > 10:
                raise _op_error(insn, slot)
            return op
    raise _op_error(insn, slot)


def unoffered(insn: Insn) -> str | None:
    """The name of an instruction that Linux has and no row, None for what is none."""
    for name, off, imms in _UNOFFERED.get(insn.opcode, ()):
        selected = insn.imm in imms and insn.off == off
        if selected and insn.dst <= 10 and insn.src <= 10:
            return name
    return None


def _op_error(insn: Insn, slot: int | None) -> InsnError:
    """The error for a slot that is no instruction."""
    name = unoffered(insn)
    if name is not None:
        return UnofferedInsn(
            f"{'' if slot is None else f'slot {slot}: '}bpfheap does not know instruction {name}",
            insn=slot,
            name=name,
        )
    rows = _BY_OPCODE.get(insn.opcode)
    if rows is None:
        return _insn_error(f"unknown opcode 0x{insn.opcode:02x}", slot, _unknown(insn.opcode))
    for op in rows:
        if all(getattr(insn, f) == v for f, v in op.select):
            break
    else:
        fields = sorted({f"{f}={getattr(insn, f)}" for op in rows for f, _ in op.select})
        return _insn_error(
            f"opcode 0x{insn.opcode:02x} ({rows[0].name}) is not defined for {', '.join(fields)}",
            slot,
            _unselected(insn, rows[0]),
        )
    for use in Uses:
        if use not in op.uses and getattr(insn, use) != 0:
            return _insn_error(
                f"{op.name} (opcode 0x{insn.opcode:02x}) does not use field {use}, "
                f"but it is {getattr(insn, use)}",
                slot,
                _reserved(op.kind),
            )
    linux = f"R{insn.src if insn.src > 10 else insn.dst} is invalid"
    return _insn_error(f"{op.name} names register r{max(insn.dst, insn.src)}", slot, linux)


def instructions(insns: Sequence[Insn]) -> Iterator[tuple[int, Op]]:
    """The first slot and the row of each instruction, in order. Raises InsnError for a slot that
    begins none."""
    slot = 0
    while slot < len(insns):
        op = op_of(insns[slot], slot)
        yield slot, op
        slot += op.slots


def second_of(op: Op, second: Insn | None, slot: int | None = None) -> Insn:
    """The second slot of the wide instruction `op` at `slot`, once it is known to be one.

    Raises InsnError if there is none, or if it has a field that a second slot must leave 0.
    """
    if second is None:
        raise _insn_error(
            f"{op.name} takes two slots, but the code ends after the first", slot, _BAD_WIDE
        )
    reserved = {"opcode": second.opcode, "dst": second.dst, "src": second.src, "off": second.off}
    if not op.wide_imm:
        reserved["imm"] = second.imm
    for name, value in reserved.items():
        if value:
            raise _insn_error(
                f"the second slot of {op.name} must have {name} 0, but it is {value}",
                slot,
                _BAD_WIDE if name != "imm" else _unselected(second, op),
            )
    return second


def slots_of(op: Op, fields: Mapping[str, int]) -> tuple[Insn, ...]:
    """The one or two slots of an operation. `fields` are by the names of Insn, "next" is the
    immediate of the second slot; 32-bit patterns stand for their signed values."""
    first = Insn(
        op.opcode,
        fields.get("dst", 0),
        fields.get("src", 0),
        fields.get("off", 0),
        _signed32(fields.get("imm", 0)),
    )
    return (first, Insn(0, imm=_signed32(fields.get("next", 0)))) if op.slots == 2 else (first,)


def _signed32(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value
