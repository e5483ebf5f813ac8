"""The compiler on the public conformance data, and beside the model machine's arithmetic."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import pytest

from bpfheap.errors import BpfheapError
from bpfheap.isa import OPS, Insn, Kind, Op, assemble
from bpfheap.machine import model
from bpfheap.testing.conformance import failure, read_dir

pytest.importorskip("bpfheap.machine.native._core")
pytest.importorskip("llvmlite")
from bpfheap.machine.native import bare, jit

U64 = (1 << 64) - 1
#: Pairs of operands: at the edges of 8, 16, 32 and 64 bits, and shifts by as much.
OPERANDS = (
    (0, 0), (1, 0), (0, 1), (7, 3), (U64, 1), (1, U64), (U64, U64), (0x7F, 0x80), (0xFF80, 33),
    (0x8000_0000, 31), (0x8000_0000, U64), (0xFFFF_FFFF, 32), (0x1_0000_0000, 0x1_0000_0000),
    (0x7FFF_FFFF_FFFF_FFFF, 63), (1 << 63, U64), (1 << 63, 64), (0x0123_4567_89AB_CDEF, 7),
)  # fmt: skip
IMMEDIATES = (-1, 33)
KINDS = (Kind.ALU, Kind.MOV, Kind.NEG, Kind.END, Kind.JCOND)
OPERATIONS = [op for op in OPS if op.kind in KINDS]


def test_every_program_gives_its_result(conformance_dir: Path) -> None:
    cases = read_dir(conformance_dir / "tests")
    assert len(cases) == 313
    run = partial(bare.run_raw, compiles=True)
    assert {c.stem: f for c in cases if (f := failure(c, run)) is not None} == {}


def shown(op: Op) -> str:
    return f"{op.name}{op.width}-{'reg' if op.reg else 'imm'}-{op.sx}"


def applied(op: Op, imm: int) -> list[Insn]:
    """r3 = r3 `op` r4, or, for a jump, 1 if it is taken, else 0."""
    chosen = {str(field): value for field, value in op.select}
    if op.kind is Kind.JCOND:
        src, imm = (4, 0) if op.reg else (0, imm)
        return [
            Insn(op.opcode, 3, src, 2, imm),
            Insn(0xB7, 3, 0, 0, 0),
            Insn(0x05, 0, 0, 1),
            Insn(0xB7, 3, 0, 0, 1),
        ]
    if op.kind in (Kind.NEG, Kind.END):
        return [Insn(op.opcode, 3, 0, 0, chosen.get("imm", 0))]
    return [Insn(op.opcode, 3, 4 if op.reg else 0, chosen.get("off", 0), 0 if op.reg else imm)]


def all_after(first: Op) -> list[Insn]:
    """For each operation: it after `first`, on the two words at r1. r0 hangs on all results."""
    code = [Insn(0xB7, 0)]
    for second, imm in itertools.product(OPERATIONS, IMMEDIATES):
        if second.reg and imm != IMMEDIATES[0]:
            continue
        code += [Insn(0x79, 3, 1, 0), Insn(0x79, 4, 1, 8)]
        code += [*applied(first, imm), *applied(second, IMMEDIATES[0])]
        # r0 = r0 * 31 + r3
        code += [Insn(0x27, 0, 0, 0, 31), Insn(0x0F, 0, 3)]
    return [*code, Insn(0x95)]


@pytest.mark.parametrize("first", OPERATIONS, ids=shown)
def test_pairs_of_instructions_as_the_model_machine(first: Op) -> None:
    code = all_after(first)
    run = bare.prepared(code, compiles=True)
    for a, b in OPERANDS:
        mem = a.to_bytes(8, "little") + b.to_bytes(8, "little")
        assert run(mem) == model.run_raw(code, mem), (hex(a), hex(b))


ATOMICS = [op for op in OPS if op.kind is Kind.ATOMIC]


@pytest.mark.parametrize("op", ATOMICS, ids=lambda op: f"{op.name}{op.width}-{op.fetch}")
def test_atomics_as_the_model_machine(op: Op) -> None:
    """r0 hangs on what was in memory, what is, and what came back."""
    chosen = {str(field): value for field, value in op.select}
    code = [
        Insn(0x79, 0, 1, 0), Insn(0x79, 4, 1, 8), Insn(0xBF, 5, 0), Insn(0x67, 5, 0, 0, 1),
        Insn(0x7B, 10, 5, -8), Insn(op.opcode, 10, 4, -8, chosen["imm"]),
        Insn(0x27, 0, 0, 0, 31), Insn(0x0F, 0, 4), Insn(0x79, 4, 10, -8), Insn(0x27, 0, 0, 0, 31),
        Insn(0x0F, 0, 4), Insn(0x95),
    ]  # fmt: skip
    run = bare.prepared(code, compiles=True)
    for a, b in OPERANDS:
        mem = a.to_bytes(8, "little") + b.to_bytes(8, "little")
        assert run(mem) == model.run_raw(code, mem), (hex(a), hex(b))


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize("width", [8, 16, 32, 64])
def test_ordered_accesses_as_the_model_machine(width: int, compiles: bool) -> None:
    """r0 hangs on what a store that releases changed, and on what a load that acquires gave."""
    first, second = ("r4", "r5") if width == 64 else ("r5", "r4")
    code = assemble(f"""
        r4 = *(u64 *)(r1 +0)
        r5 = *(u64 *)(r1 +8)
        *(u64 *)(r10 -8) = {first}
        store_release((u{width} *)(r10 -8), {second})
        r0 = *(u64 *)(r10 -8)
        r0 *= 31
        r4 = load_acquire((u{width} *)(r10 -8))
        r0 += r4
        store_release((u{width} *)(r1 +8), r0)
        r1 = load_acquire((u{width} *)(r1 +8))
        r0 += r1
        exit
    """).insns
    run = bare.prepared(code, compiles=compiles)
    for a, b in OPERANDS:
        mem = a.to_bytes(8, "little") + b.to_bytes(8, "little")
        assert run(mem) == model.run_raw(code, mem), (hex(a), hex(b))


@pytest.mark.parametrize("width", [8, 16, 32, 64])
def test_ordered_accesses_are_ordered(width: int) -> None:
    code = assemble(f"""
        r0 = load_acquire((u{width} *)(r1 +0))
        store_release((u{width} *)(r1 +8), r0)
        exit
    """).insns
    text, _ = jit.ir(jit.Source("raw", code), check=True)
    assert f"load atomic i{width}, ptr" in text
    assert f" acquire, align {width // 8}\n" in text
    assert f"store atomic i{width} " in text
    assert f" release, align {width // 8}\n" in text


def test_a_loop_without_end_is_broken_off() -> None:
    with pytest.raises(BpfheapError, match="pause"):
        bare.run_raw([Insn(0x05, 0, 0, -1, 0), Insn(0x95)], step_limit=1000, compiles=True)


def test_a_call_of_nothing() -> None:
    call = [Insn(0xB7, 1, 0, 0, 4242), Insn(0x8D, 1), Insn(0x95)]
    with pytest.raises(BpfheapError, match="no-call"):
        bare.run_raw(call, compiles=True)
