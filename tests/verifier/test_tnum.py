"""Tristate numbers, over every pair of 4-bit tnums."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import reduce
from itertools import product

import pytest

from bpfheap.verifier import tnum as t
from bpfheap.verifier.tnum import Tnum

U64 = (1 << 64) - 1
BITS = 4
TOP = 64 - BITS

#: Every tnum of 4 bits.
SMALL = [Tnum(v, m) for v, m in product(range(1 << BITS), repeat=2) if not v & m]


def members(a: Tnum) -> Iterator[int]:
    """Every value of a, by counting in its unknown bits."""
    part = a.mask
    while True:
        yield a.value | part
        if not part:
            return
        part = (part - 1) & a.mask


def best(values: Iterator[int]) -> Tnum:
    """The smallest tnum with all of `values`."""
    return reduce(t.tnum_union, map(t.tnum_const, values))


def shifted(a: Tnum, shift: int) -> Tnum:
    return Tnum(a.value << shift, a.mask << shift)


def contains(a: Tnum, x: int) -> bool:
    return x & ~a.mask == a.value


@pytest.mark.parametrize("shift", [0, TOP])
@pytest.mark.parametrize(
    ("abstract", "concrete"),
    [
        (t.tnum_add, operator.add),
        (t.tnum_sub, operator.sub),
        (t.tnum_and, operator.and_),
        (t.tnum_or, operator.or_),
        (t.tnum_xor, operator.xor),
    ],
)
def test_operations_are_sound_and_could_not_be_more_precise(
    abstract: Callable[[Tnum, Tnum], Tnum], concrete: Callable[[int, int], int], shift: int
) -> None:
    for x, y in product(SMALL, repeat=2):
        a, b = shifted(x, shift), shifted(y, shift)
        expected = best(concrete(p, q) & U64 for p, q in product(members(a), members(b)))
        assert abstract(a, b) == expected, (a, b)


@pytest.mark.parametrize("shift", [0, TOP])
def test_mul_is_sound(shift: int) -> None:
    for x, b in product(SMALL, repeat=2):
        a = shifted(x, shift)
        for first, second in ((a, b), (b, a)):
            result = t.tnum_mul(first, second)
            assert not result.value & result.mask
            for p, q in product(members(a), members(b)):
                assert contains(result, p * q & U64), (first, second)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (Tnum(3, 0), Tnum(5, 0), Tnum(15, 0)),
        (Tnum(0, 7), Tnum(8, 0), Tnum(0, 0x38)),
        (t.UNKNOWN, Tnum(24, 0), Tnum(0, U64 - 7)),
        (t.UNKNOWN, Tnum(0, 0), Tnum(0, 0)),
        (t.UNKNOWN, Tnum(0, 12), Tnum(0, U64 - 3)),
        (t.UNKNOWN, t.UNKNOWN, t.UNKNOWN),
    ],
)
def test_mul_of_typical_operands(a: Tnum, b: Tnum, expected: Tnum) -> None:
    assert t.tnum_mul(a, b) == expected


def test_neg_is_exact() -> None:
    for a in SMALL:
        assert t.tnum_neg(a) == best(-x & U64 for x in members(a))


def test_shifts_are_exact() -> None:
    for a in SMALL:
        for shift in (0, 1, 3, 5, 63):
            assert t.tnum_lshift(a, shift) == best(x << shift & U64 for x in members(a))
            high = shifted(a, TOP)
            assert t.tnum_rshift(high, shift) == best(x >> shift for x in members(high))


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("shift", [0, 1, 7, 31])
def test_arithmetic_shift_copies_the_sign_of_its_width(width: int, shift: int) -> None:
    sign, full = 1 << (width - 1), (1 << width) - 1
    for small in SMALL:
        a = shifted(small, width - BITS)
        if width == 32:
            a = Tnum(a.value | 5 << 32, a.mask | 10 << 32)
        expected = best(((((x & full) ^ sign) - sign) >> shift) & full for x in members(a))
        assert t.tnum_arshift(a, shift, width) == expected


def test_set_operations_agree_with_sets() -> None:
    for a, b in product(SMALL, repeat=2):
        xs, ys = set(members(a)), set(members(b))
        assert t.tnum_in(a, b) == (ys <= xs)
        assert t.tnum_overlap(a, b) == bool(xs & ys)
        assert t.tnum_union(a, b) == best(iter(xs | ys))
        if xs & ys:
            assert set(members(t.tnum_intersect(a, b))) == xs & ys


def test_range_is_the_smallest_tnum_around_its_ends() -> None:
    for low in range(40):
        for high in range(low, 40):
            assert t.tnum_range(low, high) == best(iter(range(low, high + 1)))
    assert t.tnum_range(0, U64) == t.UNKNOWN
    assert t.tnum_range(U64 - 1, U64) == Tnum(U64 - 1, 1)


def test_ceil_and_floor_are_the_nearest_members() -> None:
    for shift in (0, TOP):
        for small in SMALL:
            a = shifted(small, shift)
            xs = sorted(members(a))
            for near in range(1 << BITS):
                for x in {near << shift, (near << shift) + (1 << shift) // 2}:
                    ceil = t.tnum_ceil(a.value, a.mask, x)
                    floor = t.tnum_floor(a.value, a.mask, x)
                    assert ceil == min((y for y in xs if y >= x), default=1 << 64), (a, x)
                    assert floor == max((y for y in xs if y <= x), default=-1), (a, x)


def test_parts_of_a_tnum() -> None:
    a = Tnum(0x1234_5600_89AB_CD00, 0xFF_0000_00FF)
    assert t.tnum_subreg(a) == Tnum(0x89AB_CD00, 0xFF)
    assert t.tnum_with_subreg(a, Tnum(1, 6)) == Tnum(0x1234_5600_0000_0001, 0xFF_0000_0006)
    assert t.tnum_const_subreg(a, 0xDEAD_BEEF) == Tnum(0x1234_5600_DEAD_BEEF, 0xFF_0000_0000)
    assert t.tnum_cast(a, 2) == Tnum(0xCD00, 0xFF)
    assert t.tnum_cast(a, 8) == a
    assert t.tnum_is_const(t.tnum_const(7))
    assert not t.tnum_is_const(a)


@pytest.mark.parametrize(
    ("a", "size", "aligned"),
    [
        (Tnum(8, 0), 8, True),
        (Tnum(8, 16), 8, True),
        (Tnum(8, 4), 8, False),
        (Tnum(12, 0), 8, False),
        (Tnum(12, 0), 4, True),
        (t.UNKNOWN, 1, True),
        (t.UNKNOWN, 0, True),
        (t.UNKNOWN, 2, False),
    ],
)
def test_alignment(a: Tnum, size: int, aligned: bool) -> None:
    assert t.tnum_is_aligned(a, size) is aligned


def test_text_is_that_of_the_verifier_log() -> None:
    assert str(Tnum(0x10, 0xF)) == "(0x10; 0xf)"
