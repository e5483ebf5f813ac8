"""The C interpreter on the public conformance data, and beside the model machine's arithmetic."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from bpfheap.errors import BpfheapError
from bpfheap.isa import OPS, Insn, Kind, Op
from bpfheap.machine import model
from bpfheap.testing.conformance import failure, read_dir

pytest.importorskip("bpfheap.machine.native._core")
from bpfheap.machine.native import bare

U64 = (1 << 64) - 1
#: At the edges of 8, 16, 32 and 64 bits, and shifts by as much.
EDGES = (
    0, 1, 2, 7, 31, 32, 33, 63, 64, 65, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0x7FFF_FFFF, 0x8000_0000,
    0xFFFF_FFFF, 0x1_0000_0000, 0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, U64,
)  # fmt: skip
IMMEDIATES = (0, 1, -1, 2, 31, 33, 63, 0x7FFF_FFFF, -0x8000_0000)


def test_every_program_gives_its_result(conformance_dir: Path) -> None:
    cases = read_dir(conformance_dir / "tests")
    assert len(cases) == 313
    assert {c.stem: f for c in cases if (f := failure(c, bare.run_raw)) is not None} == {}


def wide(register: int, number: int) -> tuple[Insn, Insn]:
    low, high = number & 0xFFFF_FFFF, number >> 32
    signed = [n - (1 << 32) if n >> 31 else n for n in (low, high)]
    return Insn(0x18, register, 0, 0, signed[0]), Insn(0, 0, 0, 0, signed[1])


def shown(op: Op) -> str:
    return f"{op.name}{op.width}-{'reg' if op.reg else 'imm'}-{op.sx}"


def program(op: Op, a: int, b: int | None, imm: int) -> list[Insn]:
    """r0 = a `op` b, or, for a jump, whether it is taken."""
    chosen = {str(field): value for field, value in op.select}
    start = [*wide(0, a), *wide(1, b or 0)]
    fields = {"dst": 0, "src": 1 if op.reg else 0, "imm": 0 if op.reg else imm} | chosen
    if op.kind is Kind.JCOND:
        taken = Insn(op.opcode, fields["dst"], fields["src"], 2, fields["imm"])
        return [
            *start,
            taken,
            Insn(0xB7, 0, 0, 0, 0),
            Insn(0x95),
            Insn(0xB7, 0, 0, 0, 1),
            Insn(0x95),
        ]
    off = chosen.get("off", 0)
    if op.kind in (Kind.NEG, Kind.END):
        fields["src"] = 0
        fields["imm"] = chosen.get("imm", 0)
    return [*start, Insn(op.opcode, 0, fields["src"], off, fields["imm"]), Insn(0x95)]


@pytest.mark.parametrize(
    "op",
    [op for op in OPS if op.kind in (Kind.ALU, Kind.MOV, Kind.NEG, Kind.END, Kind.JCOND)],
    ids=shown,
)
def test_arithmetic_as_the_model_machine(op: Op) -> None:
    operands: list[tuple[int, int | None, int]]
    if op.kind in (Kind.NEG, Kind.END):
        operands = [(a, None, 0) for a in EDGES]
    elif op.reg:
        operands = [(a, b, 0) for a, b in itertools.product(EDGES[::2], EDGES)]
    else:
        operands = [(a, None, imm) for a, imm in itertools.product(EDGES, IMMEDIATES)]
    for a, b, imm in operands:
        code = program(op, a, b, imm)
        assert bare.run_raw(code) == model.run_raw(code), (a, b, imm)


def test_a_loop_without_end_is_broken_off() -> None:
    with pytest.raises(BpfheapError, match="pause"):
        bare.run_raw([Insn(0x05, 0, 0, -1, 0), Insn(0x95)], step_limit=1000)


def test_a_call_of_nothing() -> None:
    with pytest.raises(BpfheapError, match="no-call"):
        bare.run_raw([Insn(0x85, 0, 0, 0, 4242), Insn(0x95)])
