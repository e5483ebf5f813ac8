"""Proofs with z3, for all 64-bit words: the functions of `word` do what the other proofs take them
to do, compiled and uncompiled, and those of `tnum` lose no value."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
import z3
from symbolic import MEANING, PLAIN, SOURCES, Truth, Word, bits, fresh, in_bits, prove, show

X, Y = z3.BitVecs("x y", 64)
#: Enough for every number that uncompiled code hands to `wrap`.
WIDE = 192


def test_wrap() -> None:
    compiled = PLAIN.word.wrap(Word(X))
    prove([], lambda: compiled, lambda out: bits(out) == X)
    large = z3.BitVec("large", WIDE)
    low = z3.SignExt(WIDE - 64, z3.Extract(63, 0, large))
    prove([], lambda: PLAIN.word.wrap(Word(large)), lambda out: out.bits == low)


@pytest.mark.parametrize("name", ["ult", "ule", "lower", "higher"])
def test_comparisons(name: str) -> None:
    a, b = fresh("x"), fresh("y")

    def claim(out: Any) -> Any:
        expected = MEANING[name](a, b)
        if isinstance(expected, Truth):
            return expected.holds == (out.holds if isinstance(out, Truth) else out)
        return bits(out) == bits(expected)

    prove([], lambda: getattr(PLAIN.word, name)(a, b), claim)


def test_shift_to_the_right() -> None:
    for n in range(64):
        out = PLAIN.word.lsr(fresh("x"), n)
        show(bits(out) == z3.LShR(X, n))


def test_sign_extension() -> None:
    for n in range(1, 64):
        out = PLAIN.word.sext(fresh("x"), n)
        show(bits(out) == z3.SignExt(64 - n, z3.Extract(n - 1, 0, X)))
    low = z3.SignExt(32, z3.Extract(31, 0, X))
    prove([], lambda: PLAIN.word.sext32(fresh("x")), lambda out: bits(out) == low)


def test_smear() -> None:
    out = bits(SOURCES.word.smear(fresh("x")))
    for n in range(64):
        show((z3.Extract(n, n, out) == 1) == (z3.LShR(X, n) != 0))


@pytest.mark.parametrize("n", [0, 1, 31, 32, 63, 64])
def test_constants(n: int) -> None:
    assert SOURCES.word.ones(n) in ((1 << n) - 1, (1 << n) - 1 - (1 << 64))
    assert (SOURCES.word.s64_min(), SOURCES.word.s64_max()) == (-(1 << 63), (1 << 63) - 1)


def operand(name: str) -> tuple[Word, Word]:
    return fresh(f"{name}.v"), fresh(f"{name}.m")


@pytest.mark.parametrize(
    ("name", "concrete"),
    [("tnum_lshift", operator.lshift), ("tnum_rshift", z3.LShR), ("tnum_arshift", operator.rshift)],
)
def test_tnum_shifts(name: str, concrete: Callable[[Any, int], Any]) -> None:
    v, m = operand("a")
    for n in range(64):
        prove(
            [in_bits(X, v, m)],
            lambda n=n: getattr(SOURCES.tnum, name)(v, m, n),  # type: ignore[misc]
            lambda out, n=n: in_bits(concrete(X, n), *out),  # type: ignore[misc]
        )


def test_tnum_union() -> None:
    a, b = operand("a"), operand("b")
    for x in (a, b):
        prove(
            [in_bits(X, *x), bits(a[0]) & bits(a[1]) == 0, bits(b[0]) & bits(b[1]) == 0],
            lambda: SOURCES.tnum.tnum_union(*a, *b),
            lambda out: in_bits(X, *out),
        )


def test_tnum_ends() -> None:
    v, m = operand("a")
    prove(
        [in_bits(X, v, m)],
        lambda: (SOURCES.tnum.smin_of(v, m), SOURCES.tnum.smax_of(v, m)),
        lambda out: z3.And(bits(out[0]) <= X, bits(out[1]) >= X),
    )


@pytest.mark.long
def test_a_step_of_tnum_mul() -> None:
    """What is summed up so far, what is left of a, and b's multiple stay what they are: with the
    sum 0 at first, a at last 0, and sum + a * b the same after each step, it is the product."""
    total, a, b = operand("sum"), operand("a"), operand("b")
    so_far = z3.BitVec("z", 64)
    more = z3.If(X & 1 == 1, so_far + Y, so_far)
    prove(
        [in_bits(so_far, *total), in_bits(X, *a), in_bits(Y, *b)],
        lambda: SOURCES.tnum.tnum_mul_step(*total, *a, *b),
        lambda out: in_bits(more, *out),
    )
    # sum + a * b, for the a and b of the next step, of which a is 2 * rest + bit.
    z, rest, bit, y = z3.Ints("z rest bit y")
    solver = z3.Solver()
    solver.add(z + bit * y + rest * (2 * y) != z + (2 * rest + bit) * y)
    assert solver.check() == z3.unsat


def test_tnum_mul_by_anything() -> None:
    """The product of a multiple of 2**n is one, whatever the other factor is."""
    v, m = operand("b")
    for n in range(65):
        multiple = [in_bits(Y, v, m), (bits(v) | bits(m)) & ((1 << n) - 1) == 0]
        if n < 64:
            multiple.append(z3.Extract(n, n, bits(v) | bits(m)) == 1)
        prove(
            multiple,
            lambda: SOURCES.tnum.tnum_mul(0, -1, v, m),
            # A product has no low bits where one factor has none: see test_low_bits_of_products.
            lambda out, n=n: (
                in_bits(z3.BitVec("product", 64) & ~((1 << n) - 1), *out)  # type: ignore[misc]
                if n < 64
                else in_bits(z3.BitVecVal(0, 64), *out)
            ),
        )


def test_low_bits_of_products() -> None:
    factor, rest, power = z3.Ints("factor rest power")
    solver = z3.Solver()
    solver.add(factor * (power * rest) != power * (factor * rest))
    assert solver.check() == z3.unsat
