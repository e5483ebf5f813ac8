"""Arithmetic: RFC 9669's corners as a table, and numbers that are pointers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfheap.errors import BpfheapError, Violation
from bpfheap.isa import OPS, Insn, Kind, assemble
from bpfheap.machine.model import run_raw
from bpfheap.machine.model.alu import ALU, ATOMICS, BYTE_ORDER, JUMPS
from bpfheap.machine.model.code import MAKERS

M64, M32 = (1 << 64) - 1, (1 << 32) - 1
MIN64, MIN32 = 1 << 63, 1 << 31


def run(text: str, mem: bytes = b"") -> int:
    return run_raw(assemble(text).insns, mem)


TABLE = [
    # a, operation, b, result
    (M64, "r0 += r1", 1, 0),
    (M64, "w0 += w1", 1, 0),
    (0, "r0 -= r1", 1, M64),
    (0, "w0 -= w1", 1, M32),
    (1 << 63, "r0 *= r1", 2, 0),
    (M64, "r0 /= r1", 2, M64 >> 1),
    (7, "r0 /= r1", 0, 0),
    (7, "r0 %= r1", 0, 7),
    (MIN64 | 7, "w0 %= w1", 0, 7),
    (-7 & M64, "r0 s/= r1", 2, -3 & M64),
    (-7 & M64, "r0 s%= r1", 2, -1 & M64),
    (7, "r0 s%= r1", -2 & M64, 1),
    (MIN64, "r0 s/= r1", M64, MIN64),
    (MIN64, "r0 s%= r1", M64, 0),
    (MIN32, "w0 s/= w1", M32, MIN32),
    (MIN32, "w0 s%= w1", M32, 0),
    (5, "w0 s/= w1", 0, 0),
    (1, "r0 <<= r1", 65, 2),
    (1, "w0 <<= w1", 33, 2),
    (MIN64, "r0 >>= r1", 127, 1),
    (MIN64, "r0 s>>= r1", 63, M64),
    (MIN32, "w0 s>>= w1", 31, M32),
    (M64, "w0 = w1", M64, M32),
    (0, "r0 = (s8)r1", 0x80, -128 & M64),
    (0, "r0 = (s16)r1", 0x18000, -0x8000 & M64),
    (0, "r0 = (s32)r1", 0x180000000, -0x80000000 & M64),
    (0, "w0 = (s8)w1", 0x80, -128 & M32),
    (1, "r0 = -r0", 0, M64),
    (1, "w0 = -w0", 0, M32),
    (0x1122334455667788, "r0 = be16 r0", 0, 0x8877),
    (0x1122334455667788, "r0 = be32 r0", 0, 0x88776655),
    (0x1122334455667788, "r0 = be64 r0", 0, 0x8877665544332211),
    (0x1122334455667788, "r0 = le16 r0", 0, 0x7788),
    (0x1122334455667788, "r0 = bswap32 r0", 0, 0x88776655),
]


@pytest.mark.parametrize(("a", "operation", "b", "result"), TABLE)
def test_corners(a: int, operation: str, b: int, result: int) -> None:
    assert run(f"r0 = {a:#x} ll\nr1 = {b:#x} ll\n{operation}\nexit") == result


def test_every_row_has_an_implementation() -> None:
    assert set(MAKERS) == set(Kind) - {Kind.LDDW}
    tables = {Kind.ALU: ALU, Kind.JCOND: JUMPS}
    for op in OPS:
        if op.kind in tables:
            assert op.name in tables[op.kind][op.width]
        elif op.kind is Kind.END:
            assert op.name in BYTE_ORDER
        elif op.kind is Kind.ATOMIC:
            assert op.name in {*ATOMICS, "cmpxchg"}


@given(st.integers(0, M64), st.integers(1, M64))
def test_division_and_remainder_agree(a: int, b: int) -> None:
    for width, mask in ((64, M64), (32, M32)):
        x, y = a & mask, b & mask or 1
        table = ALU[width]
        for div, mod in (("div", "mod"), ("sdiv", "smod")):
            back = table["add"](table["mul"](table[div](x, y), y), table[mod](x, y))
            assert back == x


@given(st.integers(0, M64), st.integers(0, M64))
def test_exactly_one_of_three_orders_holds(a: int, b: int) -> None:
    for width, mask in ((64, M64), (32, M32)):
        j = JUMPS[width]
        x, y = a & mask, b & mask
        for less, more in (("jlt", "jgt"), ("jslt", "jsgt")):
            assert j[less](x, y) + j[more](x, y) + j["jeq"](x, y) == 1


@given(st.integers(0, M64), st.sampled_from([16, 32, 64]))
def test_swapping_twice_truncates(a: int, bits: int) -> None:
    assert BYTE_ORDER["be"](BYTE_ORDER["be"](a, bits), bits) == a & ((1 << bits) - 1)


POINTERS = {
    "the difference of two places": ("r0 = r10\nr1 = r10\nr1 += -8\nr0 -= r1\nexit", 8),
    "order inside a region": (
        "r1 = r10\nr1 += -8\nr0 = 0\nif r1 >= r10 goto pc+1\nr0 = 1\nexit", 1),
    "a pointer and its copy have bits in common": (
        "r2 = r1\nr0 = 1\nif r1 & r2 goto pc+1\nr0 = 0\nexit", 1),
    "what is behind is above": (
        "r1 = r10\nr1 += -8\nr2 = r1\nr2 += 16\nr0 = 1\nif r2 > r1 goto pc+1\nr0 = 0\nexit", 1),
    "what is in front of the start is below": (
        "r2 = r1\nr2 += -8\nr0 = 1\nif r2 < r1 goto pc+1\nr0 = 0\nexit", 1),
    "what is in front of the start is below, with a sign": (
        "r2 = r1\nr2 += -8\nr0 = 1\nif r2 s< r1 goto pc+1\nr0 = 0\nexit", 1),
    "a pointer is not NULL": ("r0 = 1\nif r10 != 0x0 goto pc+1\nr0 = 0\nexit", 1),
    "through memory": (
        "*(u64 *)(r10 -8) = r10\nr1 = *(u64 *)(r10 -8)\n*(u64 *)(r1 -16) = 9\n"
        "r0 = *(u64 *)(r10 -16)\nexit", 9),
    "a number plus a pointer": (
        "r1 = -16\nr1 += r10\n*(u64 *)(r1 +0) = 3\nr0 = *(u64 *)(r10 -16)\nexit", 3),
    "the same number twice": ("r0 = r10\nr1 = r10\nr0 ^= r1\nexit", 0),
    "a page apart as numbers": (
        "r1 = r10\nr1 &= -1\nr2 = r10\nr2 += -8\nr2 &= -1\nr1 -= r2\nr0 = r1\nexit", 8),
    "bytes of a stored pointer are its address": (
        "*(u64 *)(r10 -8) = r10\nw0 = w10\nr1 = *(u32 *)(r10 -8)\nr0 -= r1\nexit", 0),
    "xchg keeps a pointer": (
        "*(u64 *)(r10 -8) = r10\nr1 = 5\nr1 = atomic64_xchg((u64 *)(r10 -8), r1)\n"
        "*(u64 *)(r1 -16) = 4\nr0 = *(u64 *)(r10 -16)\nexit", 4),
    "what is released and acquired stays a pointer": (
        "store_release((u64 *)(r10 -8), r10)\nr1 = load_acquire((u64 *)(r10 -8))\n"
        "*(u64 *)(r1 -16) = 4\nr0 = load_acquire((u64 *)(r10 -16))\nexit", 4),
}  # fmt: skip


@pytest.mark.parametrize(("text", "result"), POINTERS.values(), ids=POINTERS.keys())
def test_pointers(text: str, result: int) -> None:
    assert run(text) == result


BROKEN = {
    "a pointer written over in part": (
        "*(u64 *)(r10 -8) = r10\n*(u8 *)(r10 -1) = 1\nr1 = *(u64 *)(r10 -8)\n"
        "r0 = *(u64 *)(r1 -8)\nexit"),
    "a pointer that became a number": "r1 = r10\nr1 &= -1\nr0 = *(u64 *)(r1 -8)\nexit",
    "a pointer of 32 bits": "w1 = w10\nr0 = *(u64 *)(r1 -8)\nexit",
}  # fmt: skip


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_pointer_any_more(text: str) -> None:
    with pytest.raises(Violation, match="is a number and no pointer") as seen:
        run(text)
    assert seen.value.kind == "invalid-access"


def test_a_program_without_end_is_stopped() -> None:
    with pytest.raises(BpfheapError, match="ran 1000 instructions without coming to an end"):
        run_raw(assemble("goto pc-1\nexit").insns, step_limit=1000)


def test_frames_are_bounded() -> None:
    with pytest.raises(Violation, match="9th frame") as seen:
        run("call f\nexit\nf:\ncall f\nexit")
    assert seen.value.kind == "bad-call"


def test_calls_keep_what_they_must() -> None:
    text = "r6 = 5\nr1 = 7\ncall f\nr0 += r6\nexit\nf:\nr6 = 1\nr0 = r1\nexit"
    assert run(text) == 12
    with pytest.raises(Violation, match="r1 is read"):
        run("r1 = 7\ncall f\nr0 = r1\nexit\nf:\nr0 = 0\nexit")


def test_packet_access_of_old_is_for_programs_with_packets() -> None:
    with pytest.raises(Violation, match="in a program of another type"):
        run_raw([Insn(0xBF, 6, 1), Insn(0x30, imm=4), Insn(0xB7), Insn(0x95)])


@given(st.binary(min_size=1, max_size=16), st.data())
def test_loads_see_what_is_there(mem: bytes, data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([s for s in (1, 2, 4, 8) if s <= len(mem)]))
    at = data.draw(st.integers(0, len(mem) - size))
    for sign, signed in (("u", False), ("s", True)):
        if size == 8 and signed:
            continue
        expected = int.from_bytes(mem[at : at + size], "little", signed=signed) & M64
        assert run(f"r0 = *({sign}{size * 8} *)(r1 {at:+d})\nexit", mem) == expected
