"""The reader of the public conformance data, on texts of our own and on the data itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bpfheap.errors import AsmError, FormatError, InsnError, UsageError
from bpfheap.isa import OPS, Insn, Kind, assemble
from bpfheap.testing.conformance import parse_case, read_case, read_dir
from bpfheap.testing.dialect import MNEMONICS, WRITINGS, assemble_dialect

#: Broken data whose program is a program: running it must fail, or give another result.
REFUSED_BY_RUNNING = {"error", "incorrect_return_value_high_bits"}

#: Broken data and what the reader says; those called unused-* are in a test of their own.
REFUSED_BY_READING = {
    "empty": "there is no program",
    "empty_instructions": "there is no program",
    "invalid_imm32_dec_range": "2147483648 does not fit into 32 bits",
    "invalid_imm32_hex_range": "0x100000000 does not fit into 32 bits",
    "invalid_label": "no label NOT_A_LABEL",
    "invalid_lock": "lock or takes 2 operands, not 1",
    "invalid_lock2": "lock needs an operation",
    "invalid_mnemonic": "unknown mnemonic ldxq",
    "invalid_offset": "`%r1` is no address",
    "invalid_offset_range": "+0x10000 does not fit into 16 bits",
    "invalid_operand_count": "lddw takes 2 operands, not 1",
    "invalid_register": "`%r50` is no register",
    "invalid_unknown_directive": "unknown section -- Unknown directive",
}


def test_the_public_tests_are_read(conformance_dir: Path) -> None:
    cases = [read_case(path) for path in read_dir(conformance_dir / "tests")]
    assert len(cases) == 313
    assert all(case.result is not None and case.error is None for case in cases)
    by_name = {case.name: case for case in cases}
    assert by_name["mem-len"].mem == bytes.fromhex("0000000100000002")
    assert by_name["lddw"].result == 0x1122334455667788
    assert sum(case.mem is not None for case in cases) == 40
    assert by_name["callx"].insns[2] == Insn(0x8D, dst=2)


def test_the_public_negatives_are_refused(conformance_dir: Path) -> None:
    paths = {path.stem: path for path in read_dir(conformance_dir / "negative")}
    assert len(paths) == 60
    for name in REFUSED_BY_RUNNING:
        read_case(paths.pop(name))
    for name, message in REFUSED_BY_READING.items():
        with pytest.raises(AsmError) as syntax:
            read_case(paths.pop(name))
        assert message in str(syntax.value)
        assert syntax.value.file is not None
    for name, path in paths.items():
        # unused-OPERATION-FIELD: a field that the operation must leave 0.
        field = {"offset": "off"}.get(name.rpartition("-")[2], name.rpartition("-")[2])
        with pytest.raises(
            InsnError, match=rf"field {field}\b|not defined for (?:imm=0, )?{field}=1"
        ) as slot:
            read_case(path)
        assert slot.value.insn == 0


def test_what_is_refused_by_running(conformance_dir: Path) -> None:
    error = read_case(conformance_dir / "negative" / "error.data")
    # r10 is an address and r0 was never set: no machine may do this.
    assert error.insns == (Insn(0x4F, 0, 10), Insn(0x95))
    assert (error.result, error.error) == (None, "Invalid")
    high = read_case(conformance_dir / "negative" / "incorrect_return_value_high_bits.data")
    assert high.mem is not None
    assert high.result is not None
    loaded = int.from_bytes(high.mem[2:10], "little")
    # The lower half is right: only a comparison of all 64 bits finds it.
    assert loaded != high.result
    assert loaded & 0xFFFFFFFF == high.result & 0xFFFFFFFF


def test_every_row_has_a_writing() -> None:
    assert set(WRITINGS) == set(Kind)
    written = {shape.op for shapes in MNEMONICS.values() for shape in shapes}
    # Packet access, what the RFC does not have, and wide instructions that only a loader knows.
    left_out = {op for op in OPS if op.kind in (Kind.LEGACY, Kind.MAY_GOTO, Kind.CAST)}
    left_out |= {op for op in OPS if op.atomic and op.kind is not Kind.ATOMIC}
    left_out |= {op for op in OPS if op.kind is Kind.LDDW and op.name != "lddw"}
    assert set(OPS) - written == left_out


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("mov %r1, -1", "r1 = -1"),
        ("mov32 %r1, 0xffffffff", "w1 = -1"),
        ("movsx1632 %r0, %r1", "w0 = (s16)w1"),
        ("movsx864 %r0, %r1", "r0 = (s8)r1"),
        ("sdiv32 %r0, %r1", "w0 s/= w1"),
        ("neg %r2", "r2 = -r2"),
        ("swap16 %r0", "r0 = bswap16 r0"),
        ("bswap64 %r0", "r0 = bswap64 r0"),
        ("le32 %r0", "r0 = le32 r0"),
        ("lddw %r1, 0x1122334455667788", "r1 = 0x1122334455667788 ll"),
        ("ldxsh %r1, [%r2-4]", "r1 = *(s16 *)(r2 -4)"),
        ("ldxdw %r1, [%r2]", "r1 = *(u64 *)(r2 +0)"),
        ("stw [%r10-4], 0xab", "*(u32 *)(r10 -4) = 171"),
        ("stxb [%r1+0x2], %r3", "*(u8 *)(r1 +2) = r3"),
        ("lock add [%r10-8], %r1", "lock *(u64 *)(r10 -8) += r1"),
        ("lock fetch xor32 [%r10-8], %r1", "r1 = atomic_fetch_xor((u32 *)(r10 -8), r1)"),
        ("lock xchg [%r10-8], %r1", "r1 = atomic64_xchg((u64 *)(r10 -8), r1)"),
        ("lock cmpxchg32 [%r10-8], %r1", "r0 = atomic_cmpxchg((u32 *)(r10 -8), r0, r1)"),
        ("jsle32 %r1, %r2, +3", "if w1 s<= w2 goto pc+3"),
        ("jne %r1, 0xb, exit\nexit\nexit", "if r1 != 0xb goto pc+0\nexit\nexit"),
        ("ja exit\nr:\nexit\nja r", "goto pc+0\nexit\ngoto pc-2"),
        ("ja32 L1\nL1:\nexit", "gotol pc+0\nexit"),
        ("call 5", "call #5"),
        ("call %r2", "callx r2"),
        ("call local f\nexit\nf:\nexit", "call pc+1\nexit\nexit"),
        ("call runtime 7", "call kfunc #7"),
    ],
)
def test_the_dialect(dialect: str, text: str) -> None:
    assert assemble_dialect(dialect) == assemble(text).insns


@pytest.mark.parametrize(
    ("dialect", "message"),
    [
        ("mov %r0, %r11", "`%r11` is no register (expected %r0 to %r10)"),
        ("mov %r0, abc", "`abc` is no number"),
        ("mov 1, 2", "`1` is no register"),
        ("mov %r0,", "`` is no number"),
        ("neg %r0, 1", "neg takes 1 operands, not 2"),
        ("ldxw %r0, [%r1+32768]", "+32768 does not fit into 16 bits"),
        ("ldxw %r0, [%r1+x]", "`+x` is no number"),
        ("lock fetch", "lock needs an operation"),
        ("call", "call takes 1 operands, not 0"),
        ("call local 5", "no label 5"),
        ("ja +40000", "+40000 does not fit into 16 bits"),
        ("lddw %r0, 0x10000000000000000", "is no number"),
        ("a:\na:", "label is defined twice"),
        ("ja", "ja takes 1 operands, not 0"),
    ],
)
def test_errors_of_the_dialect(dialect: str, message: str) -> None:
    with pytest.raises(AsmError) as caught:
        assemble_dialect("\n" + dialect, 10)
    assert message in str(caught.value)
    assert caught.value.line == 10 + len(dialect.splitlines())


GOOD = "# a comment\n-- asm\nmov %r0, 1 # here too\nexit\n-- mem\n01 ff\n-- result\n0x1\n"


def test_sections() -> None:
    case = parse_case(GOOD, "good")
    assert case.insns == (Insn(0xB7, imm=1), Insn(0x95))
    assert (case.name, case.mem, case.result, case.error) == ("good", b"\x01\xff", 1, None)


@pytest.mark.parametrize(
    "raw", ["0x00000001000000b7 0x95", "b7 00 00 00 01 00 00 00\n95" + " 00" * 7]
)
def test_raw_code(raw: str) -> None:
    case = parse_case(
        f"-- c\nint x;\n-- raw\n{raw}\n-- no register offset\nyes\n-- error\nwhy\n", "r"
    )
    assert case.insns == (Insn(0xB7, imm=1), Insn(0x95))
    assert (case.mem, case.result, case.error) == (None, None, "why")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no program"),
        ("exit\n-- result\n1", "text before the first section"),
        ("-- asm\nexit", "expected either -- result or -- error"),
        ("-- asm\nexit\n-- result\n1\n-- error\n", "expected either -- result or -- error"),
        ("-- asm\nexit\n-- asm\nexit\n-- result\n1", "section -- asm comes twice"),
        ("-- asm\nexit\n-- raw\n0xb7 0x95\n-- result\n1", "are different programs"),
        ("-- asm\nexit\n-- what\n-- result\n1", "unknown section -- what"),
        ("-- asm\nexit\n-- result\n-1", "not one unsigned number"),
        ("-- asm\nexit\n-- result\n1 2", "not one unsigned number"),
        ("-- asm\nexit\n-- result\n18446744073709551616", "does not fit into r0"),
        ("-- asm\nexit\n-- mem\n1\n-- result\n1", "`1` is not a byte"),
        ("-- raw\n95 0\n-- result\n1", "`0` is not a byte of two hexadecimal digits"),
        ("-- raw\n0x95 95\n-- result\n1", "`95` is not a 64-bit word"),
        ("-- raw\n95 00\n-- result\n1", "code is 2 bytes long"),
        ("-- asm\n-- result\n1", "the program is empty"),
        ("-- asm\nmov %r0, 1\n-- result\n1", "a program without end"),
        ("-- asm\nja +5\nexit\n-- result\n1", "jump out of range"),
    ],
)
def test_what_is_no_case(text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_case(text, "bad")
    assert message in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        read_dir(tmp_path / "nothing")
    with pytest.raises(UsageError, match="cannot be read"):
        read_case(tmp_path / "nothing.data")
    (tmp_path / "bytes.data").write_bytes(b"\xff\xfe")
    with pytest.raises(AsmError, match="not a text file"):
        read_case(tmp_path / "bytes.data")
    (tmp_path / "bad.data").write_text("-- asm\nfoo\n-- result\n1")
    with pytest.raises(AsmError, match="unknown mnemonic foo") as caught:
        read_case(tmp_path / "bad.data")
    assert str(caught.value).startswith(f"{tmp_path / 'bad.data'}:2: ")
    assert read_dir(tmp_path) == [tmp_path / "bad.data", tmp_path / "bytes.data"]


@settings(max_examples=500, deadline=None)
@given(
    at=st.integers(0, len(GOOD)),
    length=st.integers(0, 12),
    text=st.text(max_size=4) | st.sampled_from(["-- raw\n", "lock ", "%r99", "0x", "exit:"]),
)
@example(at=11, length=0, text="call local exit\n")
def test_mutated_text_is_read_or_refused(at: int, length: int, text: str) -> None:
    mutated = GOOD[:at] + text + GOOD[at + length :]
    try:
        case = parse_case(mutated, "mutated")
    except (AsmError, InsnError):
        return
    assert case.insns
    assert (case.result is None) != (case.error is None)
