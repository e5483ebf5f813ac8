"""Proofs with z3 that ranges and bits of products lose no value."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import z3
from integers import MODULUS, SOURCES, Number, in_word, prove, unsigned, whole

pytestmark = pytest.mark.long

X, Y = z3.Ints("x y")
NAMES = ("smin", "smax", "umin", "umax")
ENDS = ("min", "max")
HALF = 1 << 32


def ends(of: str) -> list[Any]:
    return [z3.Int(f"{of}.{name}") for name in NAMES]


def test_mul64() -> None:
    a, b = ends("a"), ends("b")
    assumed = [in_word(X), in_word(Y)]
    for x, (smin, smax, umin, umax) in ((X, a), (Y, b)):
        assumed += [in_word(end) for end in (smin, smax, umin, umax)]
        assumed += [smin <= x, x <= smax]
        assumed += [unsigned(umin) <= unsigned(x), unsigned(x) <= unsigned(umax)]
    product, times = z3.Ints("product times")
    assumed += [in_word(product), product == X * Y - times * MODULUS]

    def claims(out: Any) -> list[Any]:
        smin, smax, umin, umax = map(whole, out)
        return [
            smin <= product,
            product <= smax,
            unsigned(umin) <= unsigned(product),
            unsigned(product) <= unsigned(umax),
        ]

    assert prove(assumed, lambda: SOURCES.arith._mul64(*map(Number, (*a, *b))), claims) > 2


@pytest.mark.parametrize("view", ["s32", "u32"])
def test_mul32(view: str) -> None:
    """Of low halves as signed and as unsigned numbers; either way the product is that of the
    numbers but for a multiple of 2**32."""
    least = -(1 << 31) if view == "s32" else 0
    product, times = z3.Ints("product times")
    assumed = [product == X * Y - times * HALF, least <= product, product < least + HALF]
    a, b = (
        SimpleNamespace(
            **{f"{v}_{e}": Number(z3.Int(f"{of}.{v}_{e}")) for v in ("s32", "u32") for e in ENDS}
        )
        for of in ("a", "b")
    )
    for x, s in ((X, a), (Y, b)):
        low, high = (whole(getattr(s, f"{view}_{end}")) for end in ENDS)
        assumed += [least <= low, low <= x, x <= high, high < least + HALF]

    def claims(out: Any) -> list[Any]:
        low, high = map(whole, out[:2] if view == "s32" else out[2:])
        return [least <= low, low <= product, product <= high, high < least + HALF]

    assert prove(assumed, lambda: SOURCES.arith._mul32(a, b), claims) > 1


def test_a_wrong_range_is_not_proved() -> None:
    a, b = z3.Ints("a b")
    with pytest.raises(AssertionError):
        prove(
            [X >= 0, a >= X, Y >= 0, b >= Y],
            lambda: Number(a) * Number(b),
            lambda top: [whole(top) > X * Y],
        )
