"""Tristate numbers, over every pair of 4-bit tnums."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import reduce
from itertools import product

import pytest
from scalar_sets import U64, Tnum, tnum_union

from bpfheap.verifier.domain import tnum as t
from bpfheap.verifier.domain.word import pattern, unsigned

BITS = 4
TOP = 64 - BITS
UNKNOWN = Tnum(0, U64)

#: Every tnum of 4 bits.
SMALL = [Tnum(v, m) for v, m in product(range(1 << BITS), repeat=2) if not v & m]

Binary = Callable[[int, int, int, int], tuple[int, int]]


def on(operation: Binary, a: Tnum, b: Tnum) -> Tnum:
    """A binary operation, in unsigned numbers."""
    v, m = operation(*map(pattern, (*a, *b)))
    return Tnum(unsigned(v), unsigned(m))


def shift_of(operation: Callable[[int, int, int], tuple[int, int]], a: Tnum, shift: int) -> Tnum:
    v, m = operation(pattern(a.value), pattern(a.mask), shift)
    return Tnum(unsigned(v), unsigned(m))


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
    return reduce(tnum_union, (Tnum(x, 0) for x in values))


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
    abstract: Binary, concrete: Callable[[int, int], int], shift: int
) -> None:
    for x, y in product(SMALL, repeat=2):
        a, b = shifted(x, shift), shifted(y, shift)
        expected = best(concrete(p, q) & U64 for p, q in product(members(a), members(b)))
        assert on(abstract, a, b) == expected, (a, b)


@pytest.mark.parametrize("shift", [0, TOP])
def test_mul_is_sound(shift: int) -> None:
    for x, b in product(SMALL, repeat=2):
        a = shifted(x, shift)
        for first, second in ((a, b), (b, a)):
            result = on(t.tnum_mul, first, second)
            assert not result.value & result.mask
            for p, q in product(members(a), members(b)):
                assert contains(result, p * q & U64), (first, second)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (Tnum(3, 0), Tnum(5, 0), Tnum(15, 0)),
        (Tnum(0, 7), Tnum(8, 0), Tnum(0, 0x38)),
        (UNKNOWN, Tnum(24, 0), Tnum(0, U64 - 7)),
        (UNKNOWN, Tnum(0, 0), Tnum(0, 0)),
        (UNKNOWN, Tnum(0, 12), Tnum(0, U64 - 3)),
        (UNKNOWN, UNKNOWN, UNKNOWN),
    ],
)
def test_mul_of_typical_operands(a: Tnum, b: Tnum, expected: Tnum) -> None:
    assert on(t.tnum_mul, a, b) == expected


def test_shifts_are_exact() -> None:
    for a in SMALL:
        for shift in (0, 1, 3, 5, 63):
            left = best(x << shift & U64 for x in members(a))
            assert shift_of(t.tnum_lshift, a, shift) == left
            high = shifted(a, TOP)
            right = best(x >> shift for x in members(high))
            assert shift_of(t.tnum_rshift, high, shift) == right


@pytest.mark.parametrize("shift", [0, 1, 7, 31, 63])
def test_arithmetic_shift_copies_the_sign(shift: int) -> None:
    for small in SMALL:
        a = shifted(small, TOP)
        expected = best((pattern(x) >> shift) & U64 for x in members(a))
        assert shift_of(t.tnum_arshift, a, shift) == expected


def test_union_is_the_smallest() -> None:
    for a, b in product(SMALL, repeat=2):
        xs, ys = set(members(a)), set(members(b))
        assert on(t.tnum_union, a, b) == best(iter(xs | ys))


def test_ends_are_the_least_and_the_greatest_member() -> None:
    for small in SMALL:
        for shift in (0, TOP):
            a = shifted(small, shift)
            v, m = map(pattern, a)
            signed = [pattern(x) for x in members(a)]
            assert (t.smin_of(v, m), t.smax_of(v, m)) == (min(signed), max(signed))
