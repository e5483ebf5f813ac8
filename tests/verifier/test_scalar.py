"""Scalars: their components say what they know about each other, and nothing more."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from scalar_sets import (
    ANY,
    S32_MAX,
    S32_MIN,
    S64_MAX,
    S64_MIN,
    U32,
    U64,
    Tnum,
    View,
    const,
    fixed,
    hull,
    keeps,
    s32,
    s64,
    subset,
    together,
    value_sets,
    values,
)

from bpfheap.verifier.domain import scalar
from bpfheap.verifier.domain.scalar import Scalar, tighten


def raw(**known: Any) -> View:
    """A scalar as a transfer function leaves it: components that have not met yet."""
    return ANY._replace(**known)


def small(low: int, high: int, tnum: Tnum) -> View:
    """All four ranges from low to high."""
    return View(tnum, low, high, low, high, low, high, low, high)


@settings(fixed, max_examples=400)
@given(value_sets, keeps)
def test_sync_loses_no_value_and_widens_nothing(xs: list[int], keep: int) -> None:
    s = hull(xs, keep)
    assert all(s.contains(x) for x in xs)
    assert subset(s, ANY)
    again = together(s)
    assert again is not None
    assert subset(again, s)


@settings(fixed, max_examples=200)
@given(value_sets, value_sets)
def test_subset_keeps_every_value(xs: list[int], ys: list[int]) -> None:
    a, b = hull(xs), hull(xs + ys)
    if subset(a, b):
        assert all(b.contains(x) for x in xs)
    if any(not a.contains(y) for y in ys):
        assert not subset(b, a)
    assert subset(a, a)
    assert subset(a, raw())


@settings(fixed, max_examples=100)
@given(values, values)
def test_const_has_one_value(x: int, other: int) -> None:
    s = const(x)
    assert s.scalar.is_const
    assert s.scalar.const_value == x
    assert s == View(Tnum(x, 0), *(s64(x),) * 2, *(x,) * 2, *(s32(x),) * 2, *(x & U32,) * 2)
    assert s.contains(other) == (x == other)
    assert const(s64(x)) == s
    assert together(s) == s


def test_unknown_says_nothing() -> None:
    assert not ANY.scalar.is_const
    assert together(ANY) == ANY
    assert all(ANY.contains(x) for x in (0, 1, S64_MAX, 1 << 63, U64))


@pytest.mark.parametrize("component", View._fields)
def test_each_component_decides_membership_and_subset(component: str) -> None:
    narrow: dict[str, tuple[int | Tnum, int]] = {
        "tnum": (Tnum(0, U64 - 1), 1),
        "smin": (-5, -6 & U64),
        "smax": (5, 6),
        "umin": (5, 4),
        "umax": (5, 6),
        "s32_min": (-5, -6 & U64),
        "s32_max": (5, 6),
        "u32_min": (5, 4),
        "u32_max": (5, 6),
    }
    bound, outside = narrow[component]
    s = raw(**{component: bound})
    assert not s.contains(outside)
    assert subset(s, raw())
    assert not subset(raw(), s)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(raw(umax=9), small(0, 9, Tnum(0, 15)), id="index below 10"),
        pytest.param(raw(tnum=Tnum(0, 7)), small(0, 7, Tnum(0, 7)), id="masked index"),
        pytest.param(raw(smin=0, smax=100), small(0, 100, Tnum(0, 127)), id="signed size"),
        pytest.param(raw(umin=16, umax=19), small(16, 19, Tnum(16, 3)), id="common prefix"),
        pytest.param(raw(umin=5, umax=5), const(5), id="one value"),
        pytest.param(
            raw(tnum=Tnum(0, 0xC), umin=1, umax=11), small(1, 11, Tnum(0, 12)), id="multiples of 4"
        ),
        pytest.param(
            raw(smin=-1, smax=1),
            raw(smin=-1, smax=1, s32_min=-1, s32_max=1),
            id="around zero",
        ),
        pytest.param(
            raw(smin=S32_MIN, smax=S32_MAX, s32_min=0),
            small(0, S32_MAX, Tnum(0, S32_MAX)),
            id="sign-extended, found positive as 32 bits",
        ),
        pytest.param(
            raw(smin=-100, smax=10, umin=1 << 63),
            View(
                Tnum(U64 - 127, 127), -100, -1, U64 - 99, U64, -100, -1, U32 - 99, U32
            ),
            id="only the negative part is unsigned-large",
        ),
        pytest.param(
            raw(smin=-100, smax=10, umax=1 << 62), small(0, 10, Tnum(0, 15)),
            id="only the positive part is unsigned-small",
        ),
        pytest.param(
            raw(umax=U32, s32_min=-100, s32_max=10, u32_max=1 << 30),
            small(0, 10, Tnum(0, 15)),
            id="the same in 32 bits",
        ),
        pytest.param(
            raw(umax=U32, s32_min=-100, s32_max=10, u32_min=1 << 31),
            View(
                Tnum(U32 - 127, 127), U32 - 99, U32, U32 - 99, U32, -100, -1, U32 - 99, U32
            ),
            id="the negative part in 32 bits",
        ),
        pytest.param(
            raw(umin=0x1_0000_000A, umax=0x1_0000_000F),
            View(
                Tnum(0x1_0000_0008, 7), 0x1_0000_000A, 0x1_0000_000F, 0x1_0000_000A, 0x1_0000_000F,
                10, 15, 10, 15,
            ),
            id="one block of 2**32",
        ),
        pytest.param(
            raw(umin=0x1_0000_0000, umax=0x3_8000_0000, s32_min=1),
            View(
                Tnum(0, 0x3_7FFF_FFFF), 0x1_0000_0001, 0x3_7FFF_FFFF, 0x1_0000_0001,
                0x3_7FFF_FFFF, 1, S32_MAX, 1, S32_MAX,
            ),
            id="the low half sharpens the ends",
        ),
        pytest.param(
            raw(umin=0xF_FFFF_FFF0, umax=0x10_0000_0010),
            View(
                Tnum(0, 0x1F_FFFF_FFFF), 0xF_FFFF_FFF0, 0x10_0000_0010, 0xF_FFFF_FFF0,
                0x10_0000_0010, -16, 16, 0, U32,
            ),
            id="over the seam of two blocks",
        ),
    ],
)  # fmt: skip
def test_sync_of_typical_scalars(before: View, after: View) -> None:
    assert together(before) == after


@pytest.mark.parametrize(
    "impossible",
    [
        pytest.param(raw(umin=2, umax=1), id="u64"),
        pytest.param(raw(smin=2, smax=1), id="s64"),
        pytest.param(raw(u32_min=2, u32_max=1), id="u32"),
        pytest.param(raw(s32_min=2, s32_max=1), id="s32"),
        pytest.param(raw(umin=U64 - 5, smin=0), id="s64 against u64"),
        pytest.param(raw(umax=9, u32_min=10), id="u32 against u64"),
        pytest.param(raw(u32_max=9, s32_max=-1), id="s32 against u32"),
        pytest.param(raw(tnum=Tnum(1, 0), umax=0), id="bits against u64"),
        pytest.param(raw(tnum=Tnum(0, 0x18), umin=1, umax=7), id="no member in u64"),
        pytest.param(raw(tnum=Tnum(1 << 40, 8), umin=(1 << 40) + 9), id="no large member in u64"),
        pytest.param(raw(tnum=Tnum(1 << 63, 7), smin=0), id="bits against s64"),
        pytest.param(raw(tnum=Tnum(1 << 40 | 1, 2), u32_min=4), id="bits against u32"),
        pytest.param(raw(tnum=Tnum(1 << 40, U64 - U32 & ~(1 << 40)), s32_max=-1), id="against s32"),
        pytest.param(raw(umin=1 << 40, umax=1 << 40, s32_min=1), id="one value against s32"),
        pytest.param(raw(tnum=Tnum(0, 1 << 40), u32_min=1), id="bits against a low half"),
        pytest.param(raw(tnum=Tnum(0, U64 - 1), s32_min=15, s32_max=15), id="even against odd"),
        pytest.param(
            raw(tnum=Tnum(1, U32 - 1), u32_min=U32 - 1, u32_max=U32 - 1), id="odd against even"
        ),
        pytest.param(
            raw(tnum=Tnum(0, 33), smax=16, s32_min=8, u32_max=9), id="no small member in s32"
        ),
        pytest.param(
            raw(tnum=Tnum(0, 1 << 40 | 15), smax=U32 + 2, umin=8, u32_max=4),
            id="no member that is its low half",
        ),
    ],
)
def test_contradictions_are_none(impossible: View) -> None:
    assert together(impossible) is None


def test_the_least_member_from_some_value_on() -> None:
    for mask, value in product(range(32), repeat=2):
        members = [x for x in range(32) if x & ~mask == value & ~mask]
        for low in range(members[-1] + 1):
            expected = next(x for x in members if x >= low)
            assert scalar.member_from(value & ~mask, mask, low) == expected


def test_ends_are_those_of_their_types() -> None:
    assert tuple(ANY) == (
        ANY.tnum, -(2**63), 2**63 - 1, 0, 2**64 - 1, -(2**31), 2**31 - 1, 0, 2**32 - 1,
    )  # fmt: skip
    assert (S64_MIN, S32_MIN) == (-(2**63), -(2**31))


def test_a_scalar_shows_all_that_it_knows() -> None:
    text = repr(Scalar(0, 7, 0, 7, 0, 7, 0, 7, 0, 7))
    assert "bits=(0x0; 0x7)" in text
    assert "u=[0, 7]" in text


def test_what_only_all_components_together_rule_out() -> None:
    """From 0xfffffff0 to 2**32, or -2 or -1, with a low half from 3 to 8."""
    assert tighten(0, -1, -2, 1 << 32, 0xFFFFFFF0, -1, 1, 8, 3, 8) is None
