"""The structure of programs."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isa_samples import REAL_CODE

from bpfheap.errors import InsnError
from bpfheap.isa import (
    Insn,
    assemble,
    check_structure,
    decode,
    disassemble,
    encode,
    op_of,
)


@pytest.mark.parametrize("code", REAL_CODE)
def test_real_code_is_well_formed(code: bytes) -> None:
    check_structure(decode(code))


@pytest.mark.parametrize(
    "text",
    [
        "exit",
        "goto pc-1",
        "gotol pc-1",
        "goto pc+1\na: exit\ngoto a",
        "r1 = func[name:f] ll\nr0 = 0\nexit\nf: exit",
        "call f\nexit\nf: if r1 > 0x1 goto pc+1\nr0 = 0\nexit",
        "a: call a\nexit",
    ],
)
def test_well_formed(text: str) -> None:
    check_structure(assemble(text).insns)


@pytest.mark.parametrize(
    ("text", "slot", "message"),
    [
        ("", None, "the program is empty"),
        ("r0 = 0", 0, "a program without end: execution runs past slot 0"),
        ("exit\nif r0 == 0x0 goto pc-2", 1, "a program without end"),
        ("exit\nr1 = 1 ll", 1, "a program without end: execution runs past slot 1"),
        ("call f\nexit\nf: r0 = 0", 2, "a function without end: execution runs past slot 2"),
        ("call f\nr0 = 0\nf: exit", 1, "a function without end: execution runs past slot 1"),
        ("goto pc+1\nexit", 0, "jump out of range: slot 0 leads to slot 2, but"),
        ("goto pc-2\nexit", 0, "jump out of range: slot 0 leads to slot -1"),
        ("gotol pc+70000\nexit", 0, "jump out of range"),
        ("if r0 == 0x0 goto pc+9\nexit", 0, "jump out of range"),
        ("r1 = 1 ll\nif w0 s> w1 goto pc-2\nexit", 2, "jump into the middle of an instruction"),
        ("call pc+5\nexit", 0, "call out of range: slot 0 leads to slot 6"),
        ("call pc+1\nexit\nr1 = 1 ll\nexit", None, ""),
        ("call pc+2\nexit\nr1 = 1 ll\nexit", 0, "call into the middle of an instruction"),
        ("r1 = func[pc+9] ll\nexit", 0, "function address out of range"),
        ("call f\nexit\nf: goto pc-2", 2, "slot 2 leads to slot 1, out of its function"),
    ],
)
def test_what_is_no_program(text: str, slot: int | None, message: str) -> None:
    insns = assemble(text).insns
    if not message:
        check_structure(insns)
        return
    with pytest.raises(InsnError, match=message) as caught:
        check_structure(insns)
    assert caught.value.insn == slot


@pytest.mark.parametrize(
    ("insns", "slot", "message"),
    [
        ((Insn(0xB7), Insn(0x06), Insn(0xFF)), 2, "slot 2: unknown opcode 0xff"),
        ((Insn(0xB7, src=3), Insn(0x95)), 0, "does not use field src"),
        ((Insn(0xB7), Insn(0x18)), 1, "slot 1: lddw takes two slots"),
        ((Insn(0x18), Insn(0x95), Insn(0x95)), 0, "must have opcode 0"),
    ],
)
def test_what_is_no_instruction(insns: tuple[Insn, ...], slot: int, message: str) -> None:
    with pytest.raises(InsnError, match=message) as caught:
        check_structure(insns)
    assert caught.value.insn == slot


@pytest.mark.parametrize(
    ("insns", "linux"),
    [
        ((Insn(0xFF), Insn(0x95)), "unknown opcode ff"),
        ((Insn(0x01), Insn(0x95)), "BPF_LDX uses reserved fields"),
        ((Insn(0xB7, src=3), Insn(0x95)), "BPF_MOV uses reserved fields"),
        ((Insn(0x7F, off=-1), Insn(0x95)), "BPF_ALU uses reserved fields"),
        ((Insn(0x85, off=1), Insn(0x95)), "BPF_CALL uses reserved fields"),
        ((Insn(0x85, src=3), Insn(0x95)), "BPF_CALL uses reserved fields"),
        ((Insn(0xDB, imm=0x77), Insn(0x95)), "BPF_ATOMIC uses invalid atomic opcode 77"),
        ((Insn(0xDB, imm=0x120), Insn(0x95)), "BPF_ATOMIC uses invalid atomic opcode 120"),
        ((Insn(0xD3, imm=-1), Insn(0x95)), "BPF_ATOMIC uses invalid atomic opcode ffffffff"),
        ((Insn(0xD3), Insn(0x95)), "invalid atomic operand size"),
        ((Insn(0xCB, imm=0xF1), Insn(0x95)), "invalid atomic operand size"),
        ((Insn(0xCB, dst=11, imm=0x100), Insn(0x95)), "R11 is invalid"),
        ((Insn(0x18, off=1), Insn(0), Insn(0x95)), "BPF_LD_IMM64 uses reserved fields"),
        ((Insn(0x18, src=9), Insn(0), Insn(0x95)), "unrecognized bpf_ld_imm64 insn"),
        ((Insn(0x18), Insn(0, off=1), Insn(0x95)), "invalid bpf_ld_imm64 insn"),
        ((Insn(0x18, src=1), Insn(0, imm=1), Insn(0x95)), "unrecognized bpf_ld_imm64 insn"),
        ((Insn(0xBF, dst=15, src=1), Insn(0x95)), "R15 is invalid"),
        ((Insn(0xBF, dst=12, src=11), Insn(0x95)), "R11 is invalid"),
        ((Insn(0xB7),), "last insn is not an exit or jmp"),
        ((Insn(0x05, off=4), Insn(0x95)), "jump out of range from insn 0 to 5"),
        ((Insn(0x05, off=1), Insn(0x18), Insn(0), Insn(0x95)),
         "jump into the middle of ldimm64 insn 1"),
        ((Insn(0x85, src=1, imm=-9), Insn(0x95)), "call to invalid destination"),
        ((Insn(0x85, src=1, imm=2), Insn(0x95), Insn(0x18), Insn(0), Insn(0x95)),
         "last insn is not an exit or jmp"),
    ],
)  # fmt: skip
def test_what_linux_says_of_it(insns: tuple[Insn, ...], linux: str) -> None:
    with pytest.raises(InsnError) as caught:
        check_structure(insns)
    assert caught.value.linux == linux


def test_references_are_left_to_who_fills_them_in() -> None:
    insns = (Insn(0x18, 1, 4, imm=-9), Insn(0), Insn(0x85, src=1, imm=-9), Insn(0x95))
    with pytest.raises(InsnError, match="function address out of range"):
        check_structure(insns)
    with pytest.raises(InsnError, match="call out of range"):
        check_structure(insns, refs={0})
    check_structure(insns, refs={0, 2})


def mutate(recipe: bytes) -> bytes:
    """Real code with a few bytes changed, whole or cut anywhere. `recipe` is: which program, where
    to cut, how; then three bytes for each change. (One draw: thousands of cases stay cheap.)"""
    which, start, length = recipe[:3]
    code = bytearray(REAL_CODE[which % len(REAL_CODE)])
    if start % 4:
        start %= len(code) // 8
        # Every third cut leaves a part of a slot.
        code = code[start * 8 : start * 8 + (length if length % 3 == 0 else length * 8)]
    for high, low, value in zip(recipe[3::3], recipe[4::3], recipe[5::3], strict=False):
        if code:
            code[(high << 8 | low) % len(code)] = value
    return bytes(code)


@settings(max_examples=5000, deadline=None)
@given(recipe=st.binary(min_size=6, max_size=15))
def test_mutated_code_is_read_or_refused(recipe: bytes) -> None:
    """Every reader of instructions takes mutated code or raises InsnError, and what it takes comes
    back the same."""
    mutated = mutate(recipe)
    try:
        insns = decode(mutated)
    except InsnError:
        assert len(mutated) % 8
        return
    assert encode(insns) == mutated
    for slot, insn in enumerate(insns):
        with contextlib.suppress(InsnError):
            op_of(insn, slot)
    well_formed = False
    with contextlib.suppress(InsnError):
        check_structure(insns)
        well_formed = True
    try:
        lines = disassemble(insns)
    except InsnError:
        assert not well_formed
        return
    assert assemble("\n".join(lines)).insns == insns
