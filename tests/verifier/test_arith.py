"""Arithmetic on scalars: sound for every pair of values, and as precise as programs need."""

from __future__ import annotations

from itertools import product

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
    alu,
    byteswap,
    cast,
    concrete_alu,
    const,
    fixed,
    hull,
    keeps,
    load_bounds,
    together,
    value_sets,
    values,
)

from bpfheap.isa.ops import OPS, Kind
from bpfheap.verifier.domain import arith, scalar

NAMES = sorted({op.name for op in OPS if op.kind in (Kind.ALU, Kind.MOV, Kind.NEG)})
#: Linux computes no quotient, not even of constants (is_safe_to_compute_dst_reg_range).
DIVISIONS = {"div", "mod", "sdiv", "smod"}
SHIFTS = {"lsh", "rsh", "arsh"}


def between(low: int, high: int) -> View:
    """Any value from low to high, signed if low is negative."""
    if low < 0:
        s = together(ANY._replace(smin=low, smax=high))
    else:
        s = together(ANY._replace(umin=low, umax=high))
    assert s is not None
    return s


def bits(value: int, mask: int) -> View:
    s = together(ANY._replace(tnum=Tnum(value, mask)))
    assert s is not None
    return s


def extended(x: int, width: int, signed: bool) -> int:
    """The low `width` bits of an unsigned value, extended to 64."""
    x &= (1 << width) - 1
    return (x - (1 << width)) & U64 if signed and x >> (width - 1) else x


def test_every_operation_of_the_instruction_set_is_covered() -> None:
    for name in NAMES:
        for width in (32, 64):
            expected = const(concrete_alu(name, width, U64 - 6, 2))
            if name in DIVISIONS:
                expected = ANY
            assert alu(name, width, const(-7), const(2)) == expected


@settings(fixed, max_examples=500)
@given(value_sets, value_sets, keeps, keeps)
def test_alu_contains_every_concrete_result(
    xs: list[int], ys: list[int], keep_x: int, keep_y: int
) -> None:
    a, b = hull(xs, keep_x), hull(ys, keep_y)
    for name in NAMES:
        for width in (32, 64):
            result = alu(name, width, a, b)
            for x in xs:
                for y in ys:
                    assert result.contains(concrete_alu(name, width, x, y)), (name, width, x, y)


@settings(fixed, max_examples=500)
@given(values, values)
def test_alu_of_constants_is_exact(x: int, y: int) -> None:
    for name in NAMES:
        for width in (32, 64):
            expected = const(concrete_alu(name, width, x, y))
            if name in DIVISIONS or (name in SHIFTS and y >= width):
                expected = ANY
            assert alu(name, width, const(x), const(y)) == expected, (name, width)


#: What only the signed ends, the unsigned ones, or those of the low half say of values.
SIGNED, UNSIGNED, SIGNED32, UNSIGNED32 = 2, 4, 8, 16


@pytest.mark.parametrize(
    ("name", "width", "keep", "xs", "ys"),
    [
        ("add", 64, SIGNED, [S64_MIN, S64_MAX], [-1, 0]),
        ("add", 64, UNSIGNED, [0, 5], [-3, -1]),
        ("sub", 64, SIGNED, [S64_MIN, S64_MAX], [-1, 0]),
        ("sub", 64, UNSIGNED, [0, 5], [1, 3]),
        ("mul", 64, UNSIGNED, [1 << 32, 1 << 33], [1 << 31, 1 << 32]),
        ("mul", 64, SIGNED, [-3, 2], [-5, 7]),
        ("add", 32, UNSIGNED32, [0, 5], [U32 - 3, U32]),
        ("mul", 32, UNSIGNED32, [1 << 16, 1 << 17], [1 << 15, 1 << 16]),
        ("mul", 32, SIGNED32, [1, 1 << 16], [1, 1 << 16]),
        ("xor", 64, UNSIGNED, [3, 4], [3, 4]),
        ("xor", 32, UNSIGNED32, [3, 4], [3, 4]),
        ("lsh", 64, UNSIGNED, [1, 1 << 61, 1 << 62 | 5], [2]),
        ("lsh", 32, UNSIGNED32, [1, 1 << 29, 1 << 30 | 5], [2]),
    ],
)
def test_ends_that_overflow_stay_no_ends(
    name: str, width: int, keep: int, xs: list[int], ys: list[int]
) -> None:
    """What other components say does not hide it."""
    xs, ys = [x & U64 for x in xs], [y & U64 for y in ys]
    result = alu(name, width, hull(xs, keep), hull(ys, keep))
    for x, y in product(xs, ys):
        assert result.contains(concrete_alu(name, width, x, y)), (x, y)


@pytest.mark.parametrize(
    ("width", "is_signed", "keep", "xs"),
    [
        (8, False, UNSIGNED32, [5, 0xFF, 0x107]),
        (8, True, SIGNED, [0x10, 0x7F, 0xF0]),
        (8, True, SIGNED, [0x10, 0x7F, 0x120]),
        (32, False, SIGNED, [-5, 7]),
    ],
)
def test_ends_that_are_cut_off_stay_no_ends(
    width: int, is_signed: bool, keep: int, xs: list[int]
) -> None:
    xs = [x & U64 for x in xs]
    result = cast(hull(xs, keep), width, is_signed)
    for x in xs:
        assert result.contains(extended(x, width, is_signed)), x


@settings(fixed, max_examples=500)
@given(value_sets, keeps)
def test_cast_and_byteswap_contain_every_concrete_result(xs: list[int], keep: int) -> None:
    s = hull(xs, keep)
    for width in (8, 16, 32, 64):
        for signed in (False, True):
            result = cast(s, width, signed)
            assert all(result.contains(extended(x, width, signed)) for x in xs), (width, signed)
        if width == 8:
            continue
        low = [extended(x, width, False) for x in xs]
        assert all(byteswap("le", width, s).contains(x) for x in low)
        for name in ("be", "bswap"):
            swapped = byteswap(name, width, s)
            for x in low:
                size = width // 8
                assert swapped.contains(int.from_bytes(x.to_bytes(size, "big"), "little"))


@settings(fixed, max_examples=100)
@given(values)
def test_loads_contain_every_value_of_their_size(x: int) -> None:
    for width in (8, 16, 32, 64):
        for signed in (False, True):
            assert load_bounds(width, signed).contains(extended(x, width, signed))


def test_loads_have_the_ends_of_their_types() -> None:
    for width in (8, 16, 32):
        full, sign = (1 << width) - 1, 1 << (width - 1)
        unsigned, signed = load_bounds(width, False), load_bounds(width, True)
        assert unsigned[:5] == (Tnum(0, full), 0, full, 0, full)
        assert signed[:5] == (ANY.tnum, -sign, sign - 1, 0, U64)
        assert signed[5:7] == (-sign, sign - 1)
    assert load_bounds(64, False) == load_bounds(64, True) == ANY


@pytest.mark.parametrize(
    ("name", "width", "dst", "src", "expected"),
    [
        pytest.param("and", 64, ANY, const(7), between(0, 7), id="index mask"),
        pytest.param("and", 32, ANY, const(0xFFFF), between(0, 0xFFFF), id="u16 mask"),
        pytest.param("and", 64, ANY, const(-8), bits(0, U64 - 7), id="align down"),
        pytest.param("and", 64, between(-5, -1), between(-3, -1), between(-8, -1), id="negative"),
        pytest.param("mod", 64, between(0, 9), between(1, 2), ANY, id="by a range"),
        pytest.param("div", 64, const(100), const(10), ANY, id="quotient"),
        pytest.param("sdiv", 64, between(10, 100), const(10), ANY, id="signed"),
        pytest.param("smod", 32, between(0, 9), const(3), ANY, id="signed, 32 bits"),
        pytest.param("add", 64, between(1, 8), const(1), between(2, 9), id="count up"),
        pytest.param("add", 64, between(1, 8), const(-1), between(0, 7), id="count down"),
        pytest.param("add", 32, between(1, 8), const(-1), between(0, 7), id="count down, 32 bits"),
        pytest.param("add", 64, between(U64 - 3, U64), const(8), between(4, 7), id="both wrap"),
        pytest.param("add", 32, between(0, 8), const(-1), between(0, U32)._replace(
            s32_min=-1, s32_max=7), id="32 bits around zero are zero-extended"),
        pytest.param("add", 64, ANY, const(1), ANY, id="any may wrap"),
        pytest.param("add", 64, between(S64_MAX - 1, S64_MAX + 1), const(1),
                     between(S64_MAX, S64_MAX + 2), id="over the sign"),
        pytest.param("sub", 64, between(S64_MAX, S64_MAX + 2), const(1),
                     between(S64_MAX - 1, S64_MAX + 1), id="back over the sign"),
        pytest.param("sub", 64, between(0, U32)._replace(s32_min=-128, s32_max=127), const(15),
                     between(-15, U32 - 15)._replace(s32_min=-143, s32_max=112),
                     id="the low halves know more"),
        pytest.param("sub", 64, between(0, 8), between(0, 8), between(-8, 8), id="distance"),
        pytest.param("sub", 64, const(64), between(1, 64), between(0, 63), id="rest"),
        pytest.param("neg", 64, between(1, 8), ANY, between(-8, -1), id="negate"),
        pytest.param("mul", 64, between(0, 9), const(3), between(0, 27), id="element offset"),
        pytest.param("mul", 64, between(-2, 3), between(-5, 7), between(-15, 21), id="signs"),
        pytest.param("mul", 64, ANY, const(8), bits(0, U64 - 7), id="overflow"),
        pytest.param("or", 64, between(0, 7), const(8), between(8, 15), id="set a bit"),
        pytest.param("or", 64, between(5, 6), between(0, 1), between(5, 7), id="not below either"),
        pytest.param("or", 64, between(0, 7), const(-8), between(-8, -1), id="set all others"),
        pytest.param("xor", 64, between(0, 7), const(7), between(0, 7), id="flip bits"),
        pytest.param("lsh", 64, between(0, 9), const(2), bits(0, 0x3C)._replace(
            smax=36, umax=36, s32_max=36, u32_max=36), id="scale an index"),
        pytest.param("lsh", 64, ANY, const(60), bits(0, 15 << 60), id="only low bits"),
        pytest.param("lsh", 64, ANY, between(0, 3), ANY, id="by a range"),
        pytest.param("lsh", 32, between(0, 1), between(0, 3), ANY, id="32, by a range"),
        pytest.param("lsh", 64, between(0, 1), between(64, 65), ANY, id="too far"),
        pytest.param("rsh", 64, ANY, const(60), between(0, 15), id="top bits"),
        pytest.param("rsh", 32, ANY, const(28), between(0, 15), id="top of 32 bits"),
        pytest.param("rsh", 64, between(16, 33), const(4), between(1, 2), id="unsigned halves"),
        pytest.param("arsh", 64, between(-16, 33), const(4), between(-1, 2), id="signed halves"),
        pytest.param("arsh", 64, ANY, const(63), between(-1, 0), id="sign mask"),
        pytest.param("mov", 32, between(-1, -1), between(3, 4), between(3, 4), id="small mov32"),
        pytest.param("mov", 32, const(0), ANY, between(0, U32), id="zero-extended"),
        pytest.param("mov", 64, const(0), between(-3, 4), between(-3, 4), id="copy"),
    ],
)  # fmt: skip
def test_alu_of_typical_operands(
    name: str, width: int, dst: View, src: View, expected: View
) -> None:
    assert alu(name, width, dst, src) == expected


def test_sign_extension_by_two_shifts() -> None:
    """What clang emits for (s64)(s32)x before cpu v4."""
    start = ANY._replace(s32_min=-3, s32_max=5)
    high = alu("lsh", 64, start, const(32))
    assert (high.smin, high.smax) == (-3 << 32, 5 << 32)
    assert alu("arsh", 64, high, const(32)) == between(-3, 5)


def test_unknown_results_are_the_one_unknown_scalar() -> None:
    """Comparing states relies on that being fast."""
    unknown, one = scalar.UNKNOWN_SCALAR, scalar.const(1)
    assert arith.alu(arith.ADD, 64, unknown, one) is unknown
    assert arith.alu(arith.XOR, 64, unknown, between(0, 7).scalar) is unknown


@pytest.mark.parametrize(
    ("s", "width", "signed", "expected"),
    [
        (between(0, 9), 8, False, between(0, 9)),
        (between(0, 9), 8, True, between(0, 9)),
        (between(-9, 9), 8, True, between(-128, 127)),
        (between(-9, 9), 8, False, between(0, 255)),
        (between(-9, -1), 8, False, between(0xF7, 0xFF)),
        (between(0x100, 0x105), 8, False, between(0, 5)),
        (between(0xFE, 0x101), 8, False, between(0, 255)),
        (between(0xFE, 0x101), 8, True, between(-128, 127)),
        (between(0xFE, 0xFF), 8, True, between(-2, -1)),
        (between(S32_MAX, S32_MAX + 1), 32, True, between(S32_MIN, S32_MAX)),
        (between(U32 - 1, U32), 32, True, between(-2, -1)),
        (ANY._replace(u32_min=3, u32_max=9), 32, False, between(3, 9)),
        (bits(0x40, U64 - 0xFF | 1), 8, True, between(-128, 127)),
        (bits(0x80, 1 << 40), 8, True, between(-128, 127)),
        (between(-9, 9), 64, True, between(-9, 9)),
        (between(-9, 9), 64, False, between(-9, 9)),
    ],
)
def test_casts_of_typical_scalars(s: View, width: int, signed: bool, expected: View) -> None:
    assert cast(s, width, signed) == expected


@pytest.mark.parametrize(
    ("name", "width", "s", "expected"),
    [
        ("le", 16, const(0x12345), const(0x2345)),
        ("be", 16, const(0x12345), const(0x4523)),
        ("bswap", 32, const(0x1_2345_6789), const(0x8967_4523)),
        ("bswap", 64, const(0x0102_0304_0506_0708), const(0x0807_0605_0403_0201)),
        ("be", 16, ANY, between(0, 0xFFFF)),
        ("be", 32, ANY, between(0, U32)),
        ("be", 64, ANY, ANY),
        ("be", 16, between(0, 255), bits(0, 0xFF00)),
        ("le", 32, ANY, between(0, U32)),
        ("le", 64, ANY, ANY),
    ],
)
def test_byteswaps(name: str, width: int, s: View, expected: View) -> None:
    assert byteswap(name, width, s) == expected


@pytest.mark.parametrize("width", [32, 64])
def test_results_without_knowledge_are_unknown_in_their_width(width: int) -> None:
    for name in NAMES:
        unknown = ANY if width == 64 or name in DIVISIONS | SHIFTS else between(0, U32)
        assert alu(name, width, ANY, ANY) == unknown, name
