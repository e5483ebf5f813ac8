"""What is known, in words."""

from __future__ import annotations

import pytest

from bpfheap.btf import Array, Btf, BtfBuilder, Datasec, Int, SecVar, Struct, Var
from bpfheap.verifier.domain.arith import load_bounds
from bpfheap.verifier.domain.scalar import UNKNOWN_SCALAR, Scalar, constant
from bpfheap.verifier.explain.words import (
    member_at,
    offset_words,
    pointer_words,
    register_words,
    scalar_words,
    slot_words,
)
from bpfheap.verifier.state.state import (
    ALL_ITER,
    AT_END,
    FUNC,
    ITERATOR,
    MISC,
    NOTHING,
    PACKET,
    SPILL,
    STACK,
    ZERO,
    ZERO_OFFSET,
    Reg,
    Slot,
    number,
)

_HALF = Scalar(0, -1, -(1 << 63), (1 << 63) - 1, 0, -1, -(1 << 31), (1 << 31) - 1, 3, 9)
_SIGNED_HALF = Scalar(0, -1, -(1 << 63), (1 << 63) - 1, 0, -1, -4, 5, 0, (1 << 32) - 1)


@pytest.mark.parametrize(
    ("scalar", "text"),
    [
        (UNKNOWN_SCALAR, "any number"),
        (constant(5), "5"),
        (load_bounds(8, False), "0 to 255"),
        (_HALF, "any number whose low half is 3 to 9"),
        (_SIGNED_HALF, "any number whose low half is -4 to 5"),
    ],
)
def test_numbers(scalar: Scalar, text: str) -> None:
    assert scalar_words(scalar) == text


@pytest.mark.parametrize(
    ("reg", "text"),
    [
        (Reg(PACKET, ZERO_OFFSET, what=0), ""),
        (Reg(PACKET, ZERO_OFFSET, 4, what=0), " at byte 4"),
        (Reg(PACKET, load_bounds(8, False), 1, what=0), " at byte 1 to 256"),
        (Reg(PACKET, UNKNOWN_SCALAR, what=0), " at any offset"),
    ],
)
def test_offsets(reg: Reg, text: str) -> None:
    assert offset_words(reg) == text


@pytest.mark.parametrize(
    ("reg", "text"),
    [
        (NOTHING, "nothing"),
        (Reg(FUNC, ZERO_OFFSET, what=7), "the address of a function"),
        (Reg(STACK, ZERO_OFFSET, -8, what=0), "pointer to the stack at fp-8"),
    ],
)
def test_registers(reg: Reg, text: str) -> None:
    assert register_words(reg) == text


@pytest.mark.parametrize(
    ("reg", "text"),
    [
        (Reg(FUNC, ZERO_OFFSET, what=7), "func"),
        (Reg(PACKET, ZERO_OFFSET, what=AT_END), "the packet, which is at or beyond its end"),
    ],
)
def test_pointers(reg: Reg, text: str) -> None:
    assert pointer_words(reg) == text


@pytest.mark.parametrize(
    ("slot", "text"),
    [
        (Slot(Reg(ITERATOR, ZERO_OFFSET, ref=1, what=True), ALL_ITER), "an iterator"),
        (Slot(number(constant(7)), bytes([SPILL] * 8)), "7"),
        (Slot(number(constant(7)), bytes([SPILL] * 4 + [MISC] * 4)), "7 (4 bytes)"),
        (Slot(None, bytes([ZERO] * 8)), "0"),
        (Slot(None, bytes([ZERO] * 3 + [MISC] * 5)), "0 in 3 of 8 bytes"),
    ],
)
def test_stack(slot: Slot, text: str) -> None:
    assert slot_words(slot) == text


def _section() -> tuple[Btf, int]:
    """.data with a variable of two numbers at byte 8, and one of no size at byte 24."""
    b = BtfBuilder()
    u64 = b.add(Int("long", 8, 0, 0, 64))
    two = b.add(Array(u64, u64, 2))
    empty = b.add(Struct("empty", 0, ()))
    many = b.add(Array(empty, u64, 3))
    numbers, nothing = b.add(Var("numbers", two, 1)), b.add(Var("nothing", many, 1))
    section = b.add(Datasec(".data", 32, (SecVar(numbers, 8, 16), SecVar(nothing, 24, 0))))
    return b.build(), section


@pytest.mark.parametrize(
    ("offset", "name"), [(8, "numbers[0]"), (20, "numbers[1]"), (0, None), (24, "nothing")]
)
def test_members(offset: int, name: str | None) -> None:
    btf, section = _section()
    assert member_at(btf, section, offset) == name


def test_a_type_that_is_not_there_has_no_members() -> None:
    btf, _ = _section()
    assert member_at(btf, 999, 0) is None
