"""Conditional jumps: each pair of values stays in the branch it takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from scalar_sets import (
    ANY,
    CONDITIONS,
    S32_MAX,
    S64_MIN,
    U32,
    U64,
    Tnum,
    View,
    branch,
    branch_taken,
    concrete_branch,
    const,
    fixed,
    hull,
    keeps,
    together,
    value_sets,
    values,
)

from bpfheap.isa.ops import OPS, Kind
from bpfheap.verifier.domain import refine


def known(**components: Any) -> View:
    """Any value within the given components."""
    s = together(ANY._replace(**components))
    assert s is not None
    return s


def below(limit: int) -> View:
    return known(umax=limit - 1)


def test_every_condition_of_the_instruction_set_is_covered() -> None:
    assert {op.name for op in OPS if op.kind is Kind.JCOND} == set(CONDITIONS)


@settings(fixed, max_examples=500)
@given(value_sets, value_sets, keeps, keeps)
def test_each_pair_stays_in_the_branch_it_takes(
    xs: list[int], ys: list[int], keep_x: int, keep_y: int
) -> None:
    a, b = hull(xs, keep_x), hull(ys, keep_y)
    for op in CONDITIONS:
        for width in (32, 64):
            sides = branch(op, width, a, b)
            for x in xs:
                for y in ys:
                    taken = concrete_branch(op, width, x, y)
                    side = sides[0] if taken else sides[1]
                    assert side is not None, (op, width, x, y)
                    assert side[0].contains(x), (op, width, x, y)
                    assert side[1].contains(y), (op, width, x, y)


@settings(fixed, max_examples=200)
@given(values, values)
def test_constants_decide_every_branch(x: int, y: int) -> None:
    a, b = const(x), const(y)
    for op in CONDITIONS:
        for width in (32, 64):
            taken = concrete_branch(op, width, x, y)
            assert branch_taken(op, width, a, b) is taken, (op, width)
            assert branch(op, width, a, b) == (((a, b), None) if taken else (None, (a, b)))


@settings(fixed, max_examples=200)
@given(value_sets, value_sets)
def test_a_decided_branch_is_decided_for_every_pair(xs: list[int], ys: list[int]) -> None:
    a, b = hull(xs), hull(ys)
    for op in CONDITIONS:
        for width in (32, 64):
            decided = branch_taken(op, width, a, b)
            if decided is not None:
                seen = {concrete_branch(op, width, x, y) for x in xs for y in ys}
                assert seen == {decided}, (op, width)


@pytest.mark.parametrize(
    ("op", "width", "dst", "limit", "taken", "fall"),
    [
        pytest.param("jlt", 64, ANY, 10, below(10), known(umin=10), id="if (i < 10)"),
        pytest.param("jge", 64, ANY, 10, known(umin=10), below(10), id="if (i >= 10)"),
        pytest.param("jgt", 64, ANY, 9, known(umin=10), below(10), id="if (i > 9)"),
        pytest.param("jle", 64, ANY, 9, below(10), known(umin=10), id="if (i <= 9)"),
        pytest.param("jlt", 32, ANY, 10, known(u32_max=9), known(u32_min=10),
                     id="if ((u32)i < 10)"),
        pytest.param("jlt", 32, known(umax=U32), 10, below(10), known(umin=10, umax=U32),
                     id="a zero-extended u32"),
        pytest.param("jslt", 64, ANY, 0, known(smax=-1), known(smin=0), id="if (s < 0)"),
        pytest.param("jsge", 64, ANY, 0, known(smin=0), known(smax=-1), id="if (s >= 0)"),
        pytest.param("jsgt", 64, ANY, 0, known(smin=1), known(smax=0), id="if (s > 0)"),
        pytest.param("jsle", 64, ANY, -1, known(smax=-1), known(smin=0), id="if (s <= -1)"),
        pytest.param("jsgt", 32, ANY, 7, known(s32_min=8), known(s32_max=7), id="if ((s32)s > 7)"),
        pytest.param("jsgt", 64, known(smin=0, smax=100), 63, known(umin=64, umax=100), below(64),
                     id="a size within a buffer"),
        pytest.param("jeq", 64, ANY, 5, const(5), ANY, id="if (x == 5)"),
        pytest.param("jne", 64, ANY, 5, ANY, const(5), id="if (x != 5)"),
        pytest.param("jeq", 64, ANY, 0, const(0), known(umin=1), id="if (!x)"),
        pytest.param("jne", 64, ANY, U64, known(umax=U64 - 1), const(U64), id="if (x != -1)"),
        pytest.param("jne", 64, below(8), 7, below(7), const(7), id="not the last"),
        pytest.param("jne", 64, ANY, S64_MIN, known(smin=S64_MIN + 1), const(S64_MIN),
                     id="not the least"),
        pytest.param("jeq", 32, known(umax=U32), 5, const(5), known(umax=U32),
                     id="if ((u32)x == 5)"),
        pytest.param("jne", 32, ANY, 0, known(u32_min=1), known(u32_max=0), id="if ((u32)x)"),
        pytest.param("jne", 32, ANY, -(2**31), known(s32_min=1 - 2**31),
                     known(s32_max=-(2**31)), id="not the least of 32 bits"),
        pytest.param("jne", 32, ANY, S32_MAX, known(s32_max=S32_MAX - 1), known(s32_min=S32_MAX),
                     id="not the greatest of 32 bits"),
        pytest.param("jset", 64, ANY, 8, known(tnum=Tnum(8, U64 - 8)), known(tnum=Tnum(0, U64 - 8)),
                     id="if (x & 8)"),
        pytest.param("jset", 64, ANY, 6, ANY, known(tnum=Tnum(0, U64 - 6)), id="if (x & 6)"),
        pytest.param("jset", 32, ANY, 1 << 31, known(tnum=Tnum(1 << 31, U64 - (1 << 31))),
                     known(tnum=Tnum(0, U64 - (1 << 31))), id="if ((u32)x >> 31)"),
        pytest.param("jset", 32, ANY, -8, ANY, known(tnum=Tnum(0, U64 - U32 + 7)),
                     id="if ((u32)x & -8)"),
    ],
)  # fmt: skip
def test_comparison_with_a_constant(
    op: str, width: int, dst: View, limit: int, taken: View, fall: View
) -> None:
    k = const(limit)
    assert branch(op, width, dst, k) == ((taken, k), (fall, k))
    mirrored = {"jlt": "jgt", "jgt": "jlt", "jle": "jge", "jge": "jle"}
    mirrored |= {f"js{name[1:]}": f"js{other[1:]}" for name, other in mirrored.items()}
    assert branch(mirrored.get(op, op), width, k, dst) == ((k, taken), (k, fall))


@pytest.mark.parametrize(
    ("op", "width", "dst", "src", "taken"),
    [
        ("jlt", 64, below(10), const(10), True),
        ("jlt", 64, known(umin=10), const(10), False),
        ("jge", 64, known(umin=10), const(10), True),
        ("jgt", 64, below(11), const(10), False),
        ("jle", 64, below(11), const(10), True),
        ("jslt", 64, known(smax=-1), const(0), True),
        ("jslt", 64, below(10), const(0), False),
        ("jsge", 64, below(10), const(0), True),
        ("jsgt", 64, known(smax=-1), known(smin=-1), False),
        ("jsle", 64, known(smax=-1), known(smin=-1), True),
        ("jslt", 64, known(umax=U32), const(0), False),
        ("jslt", 32, known(umax=U32), const(0), None),
        ("jeq", 64, below(10), known(umin=10), False),
        ("jne", 64, below(10), known(umin=10), True),
        ("jeq", 64, known(tnum=Tnum(1, U64 - 1)), known(tnum=Tnum(0, U64 - 1)), False),
        ("jeq", 64, known(u32_max=3), known(u32_min=4), False),
        ("jne", 64, known(s32_max=3), known(s32_min=4), True),
        ("jeq", 32, known(tnum=Tnum(1 << 40, U64 - (1 << 40))), const(0), None),
        ("jeq", 32, known(u32_max=0), const(1 << 40), True),
        ("jeq", 64, below(10), below(10), None),
        ("jset", 64, known(tnum=Tnum(1, U64 - 1)), const(3), True),
        ("jset", 64, below(8), const(8), False),
        ("jset", 32, known(u32_max=7), const(1 << 40 | 8), False),
        ("jset", 64, ANY, const(0), False),
        ("jset", 64, ANY, ANY, None),
    ],
)
def test_branch_taken(op: str, width: int, dst: View, src: View, taken: bool | None) -> None:
    assert branch_taken(op, width, dst, src) is taken
    sides = branch(op, width, dst, src)
    if taken is None:
        assert None not in sides
    else:
        assert sides == (((dst, src), None) if taken else (None, (dst, src)))


@pytest.mark.parametrize(
    ("op", "width", "dst", "src"),
    [
        ("jeq", 64, known(tnum=Tnum(1, U64 - 1)), known(tnum=Tnum(0, U64 - 1))),
        ("jeq", 32, known(tnum=Tnum(1, U64 - 1)), known(tnum=Tnum(0, U64 - 1))),
        ("jne", 64, const(5), const(5)),
        ("jlt", 64, ANY, const(0)),
        ("jgt", 64, ANY, const(U64)),
        ("jlt", 32, ANY, const(1 << 40)),
        ("jslt", 64, ANY, const(S64_MIN)),
        ("jsgt", 64, ANY, const(S64_MIN ^ U64)),
        ("jslt", 32, ANY, const(-(2**31))),
    ],
)
def test_no_pair_is_left_of_what_never_holds(op: str, width: int, dst: View, src: View) -> None:
    """branch_taken tells that before, but not when a register is compared with itself."""
    assert branch_taken(op, width, dst, src) is False
    assert refine.holds(refine.JUMP_CODE[op], width, dst.scalar, src.scalar) is None


def test_ranges_refine_each_other() -> None:
    a, b = known(umin=5, umax=20), below(13)
    assert branch("jlt", 64, a, b) == (
        (known(umin=5, umax=11), known(umin=6, umax=12)),
        (a, b),
    )
    s, t = known(smin=-20, smax=5), known(smin=-5, smax=30)
    assert branch("jsgt", 64, s, t) == (
        (known(smin=-4, smax=5), known(smin=-5, smax=4)),
        (s, t),
    )


def test_equal_ranges_become_one() -> None:
    a = known(umin=5, umax=20)
    b = known(tnum=Tnum(0, 12))
    both = known(umin=5, umax=20, tnum=Tnum(0, 12))
    assert branch("jeq", 64, a, b) == ((both, both), (a, b))
    taken, _ = branch("jeq", 32, known(u32_max=9), known(s32_min=3))
    assert taken is not None
    assert [(s.u32_min, s.u32_max) for s in taken] == [(3, 9), (3, 9)]


def test_a_side_without_values_is_none_though_no_range_tells() -> None:
    """Multiples of 4 between 1 and 11 that equal multiples of 16 up to 32: only refining tells."""
    a = known(tnum=Tnum(0, 12), umin=1, umax=11)
    b = known(tnum=Tnum(0, 0x30), umax=32)
    assert branch_taken("jeq", 64, a, b) is None
    assert branch("jeq", 64, a, b) == (None, (a, b))


def test_a_sign_extended_number_found_positive_is_its_low_half() -> None:
    loaded = known(smin=-(2**31), smax=S32_MAX)
    sides = branch("jsgt", 32, loaded, const(-1))
    assert sides[0] == (known(umax=S32_MAX), const(-1))
    assert sides[1] == (known(smin=-(2**31), smax=-1), const(-1))
