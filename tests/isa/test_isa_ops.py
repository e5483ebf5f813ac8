"""The slot codec and the instruction table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isa_samples import REAL_CODE, instruction

from bpfheap.errors import InsnError
from bpfheap.isa import OPS, Insn, Kind, Op, decode, encode, op_of, second_of


@pytest.mark.parametrize("code", REAL_CODE)
def test_encode_inverts_decode(code: bytes) -> None:
    assert encode(decode(code)) == code


def test_slot_layout() -> None:
    # RFC 9669 section 3: opcode, src and dst nibbles, offset, immediate; little endian.
    assert decode(bytes.fromhex("7b1af8ffefbeadde")) == (
        Insn(0x7B, dst=10, src=1, off=-8, imm=0xDEADBEEF - (1 << 32)),
    )


def test_decode_refuses_half_a_slot() -> None:
    with pytest.raises(InsnError, match="12 bytes long"):
        decode(bytes(12))


@pytest.mark.parametrize(
    "insn",
    [
        Insn(0x100),
        Insn(0xB7, dst=16),
        Insn(0xB7, src=-1),
        Insn(0xB7, off=1 << 15),
        Insn(0xB7, imm=1 << 31),
    ],
)
def test_encode_refuses_what_does_not_fit(insn: Insn) -> None:
    with pytest.raises(InsnError) as caught:
        encode((Insn(0x95), insn))
    assert caught.value.insn == 1


@given(data=st.data(), op=st.sampled_from(OPS))
def test_op_of_finds_the_row_of_its_instructions(data: st.DataObject, op: Op) -> None:
    slots = data.draw(instruction(op))
    assert op_of(slots[0]) is op
    assert len(slots) == op.slots


def test_no_two_rows_are_the_same_instruction() -> None:
    assert len({(op.opcode, op.select) for op in OPS}) == len(OPS)


def test_atomic_rows() -> None:
    names = {(op.name, op.width) for op in OPS if op.atomic and op.kind is not Kind.ATOMIC}
    ordered = ("load_acquire", "store_release")
    assert names == {(name, width) for name in ordered for width in (8, 16, 32, 64)}
    assert all(op.atomic for op in OPS if op.kind is Kind.ATOMIC)


def test_rfc_9669_is_complete() -> None:
    # Counted from the tables of the RFC: rows, and distinct opcodes.
    expected = {
        Kind.ALU: (13 * 4, 11 * 4),  # table 3; sdiv and smod share the opcodes of div and mod
        Kind.MOV: (4 + 5, 4),  # plain; sign extended from 8, 16, and from 32 to 64 bits
        Kind.CAST: (2, 1),  # not of the RFC: BPF_ADDR_SPACE_CAST of Linux 6.9
        Kind.NEG: (2, 2),
        Kind.END: (9, 3),  # tables 4 and 5
        Kind.JA: (2, 2),
        Kind.JCOND: (11 * 4, 11 * 4),  # table 6
        Kind.MAY_GOTO: (1, 1),  # not of the RFC: BPF_JCOND of Linux 6.9
        Kind.CALL_HELPER: (1, 1),
        Kind.CALL_LOCAL: (1, 1),
        Kind.CALL_KFUNC: (1, 1),
        Kind.CALL_REG: (1, 1),
        Kind.EXIT: (1, 1),
        Kind.LDDW: (7, 1),  # table 15
        # Those that acquire and release are not of the RFC: BPF_LOAD_ACQ and BPF_STORE_REL of 6.15.
        Kind.LOAD: (4 + 3 + 4, 4 + 3 + 4),
        Kind.STORE_IMM: (4, 4),
        Kind.STORE_REG: (4 + 4, 4 + 4),
        Kind.ATOMIC: (2 * (4 + 4 + 2), 2),  # tables 13 and 14
        Kind.LEGACY: (3 * 2, 3 * 2),  # section 5.5
    }
    found = {
        kind: (len(rows), len({op.opcode for op in rows}))
        for kind in Kind
        for rows in [[op for op in OPS if op.kind is kind]]
    }
    assert found == expected


@pytest.mark.parametrize(
    ("insn", "message"),
    [
        (Insn(0x00), "slot 4: unknown opcode 0x00"),
        (Insn(0xFF), "unknown opcode 0xff"),
        (Insn(0x17, off=1), r"opcode 0x17 \(sub\) is not defined for off=1"),
        (Insn(0xBF, off=24), r"\(mov\) is not defined for imm=0, off=24"),
        (Insn(0xBC, off=32), r"\(mov\) is not defined for off=32"),
        (Insn(0xD4, imm=8), r"\(le\) is not defined for imm=8"),
        (Insn(0xDB, imm=0xE0), r"is not defined for imm=224"),
        (Insn(0x85, src=3), r"\(call\) is not defined for src=3"),
        (Insn(0x18, src=7), r"\(lddw\) is not defined for src=7"),
        (Insn(0x07, src=1), "add .* does not use field src, but it is 1"),
        (Insn(0x95, imm=-1), "exit .* does not use field imm, but it is -1"),
        (Insn(0xB7, dst=11), "mov names register r11"),
        (Insn(0x61, src=15), "ldx names register r15"),
    ],
)
def test_op_of_says_what_is_wrong(insn: Insn, message: str) -> None:
    with pytest.raises(InsnError, match=message) as caught:
        op_of(insn, 4)
    assert caught.value.insn == 4


@pytest.mark.parametrize(
    ("src", "second", "message"),
    [
        (0, None, "lddw takes two slots"),
        (0, Insn(0xB7), "second slot of lddw must have opcode 0, but it is 183"),
        (0, Insn(0, dst=1), "must have dst 0"),
        (0, Insn(0, src=1), "must have src 0"),
        (0, Insn(0, off=1), "must have off 0"),
        (1, Insn(0, imm=1), "second slot of map must have imm 0"),
        (4, Insn(0, imm=1), "second slot of func must have imm 0"),
    ],
)
def test_second_slots(src: int, second: Insn | None, message: str) -> None:
    op = op_of(Insn(0x18, src=src))
    with pytest.raises(InsnError, match=message):
        second_of(op, second, 0)


def test_second_slot_of_a_map_value_holds_the_offset() -> None:
    second = Insn(0, imm=8)
    assert second_of(op_of(Insn(0x18, src=2)), second) is second
