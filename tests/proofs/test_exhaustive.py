"""Every tnum and every range of 6 bits, without z3: no value is lost, and how precise it all is.

The 6 bits are the lowest ones of a word, or the highest, or those around the seam of its halves;
all others are 0. A set of 6-bit values is a word, with one bit for each value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from lanes import SOURCES, lanes, run
from sources import COMPONENTS

from bpfheap.verifier.domain.word import pattern

pytestmark = pytest.mark.long

BITS = 6
COUNT = 1 << BITS
PLACES = {"low": 0, "seam": 29, "top": 64 - BITS}
ALL = range(COUNT)

#: Every tnum: values and masks.
TNUMS = [(v, m) for m in ALL for v in ALL if not v & m]
#: For a tnum with an unknown bit, the two tnums where it is 0 and 1.
HALVES = [
    (TNUMS.index((v, m & m - 1)), TNUMS.index((v | m & -m, m & m - 1))) if m else (0, 0)
    for v, m in TNUMS
]
MEMBERS = np.array([[x & ~m == v for x in ALL] for v, m in TNUMS])
RANGES = [(low, high) for low in ALL for high in range(low, COUNT)]


def best(table: Any) -> tuple[Any, Any]:
    """The best bits for the values of `table[x, y]`, for every pair of tnums: what all values of a
    tnum have in common is what its halves have in common."""
    every, some = table, table
    for _ in range(2):
        both = np.zeros((len(TNUMS), every.shape[1]), np.int64)
        either = both.copy()
        for i, (v, m) in enumerate(TNUMS):
            zero, one = HALVES[i]
            both[i] = every[v] if not m else both[zero] & both[one]
            either[i] = some[v] if not m else either[zero] | either[one]
        # Now the other operand.
        every, some = both.T, either.T
    return every, every ^ some


_V = np.array([v for v, _ in TNUMS], np.int64)
_M = np.array([m for _, m in TNUMS], np.int64)


UNKNOWN = [getattr(SOURCES.scalar.UNKNOWN_SCALAR, part) for part in COMPONENTS]

#: How precise it is: of 100 products of tnums, those that are the best ones;
MUL_BEST = {"low": 81, "seam": 81, "top": 93}
#: of 100 pairs of a tnum and a range with a common value, those whose range becomes the best one;
ENDS_MET = {
    ("low", False): 68,
    ("low", True): 74,
    ("seam", False): 71,
    ("seam", True): 77,
    ("top", False): 78,
    ("top", True): 78,
}
#: and of 1000 pairs, those that have no common value, which `tighten` does not see.
UNSEEN = {
    ("low", False): 15,
    ("low", True): 4,
    ("seam", False): 13,
    ("seam", True): 6,
    ("top", False): 4,
    ("top", True): 4,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["add", "sub", "and", "or", "xor"])
def test_tnums_are_the_best(name: str, place: str) -> None:
    shift = PLACES[place]
    concrete: dict[str, Callable[[Any, Any], Any]] = {
        "add": np.add,
        "sub": np.subtract,
        "and": np.bitwise_and,
        "or": np.bitwise_or,
        "xor": np.bitwise_xor,
    }
    x = np.array(ALL, np.int64) << shift
    expected = best(concrete[name](x[:, None], x[None, :]))
    v, m = _V << shift, _M << shift
    out = getattr(SOURCES.tnum, f"tnum_{name}")(v[:, None], m[:, None], v[None, :], m[None, :])
    assert (out[0] == expected[0]).all()
    assert (out[1] == expected[1]).all()


@pytest.mark.parametrize("place", PLACES)
def test_tnum_mul_is_sound(place: str) -> None:
    """The second operand is low: a product of two high ones is 0."""
    shift = PLACES[place]
    x = np.array(ALL, np.int64)
    value, mask = best(np.multiply(x[:, None] << shift, x[None, :]))
    exact = 0
    for i, (v, m) in enumerate(TNUMS):
        for constant in (False, True):
            at = np.flatnonzero((_M == 0) == constant)
            out_v, out_m = SOURCES.tnum.tnum_mul(
                pattern(v << shift),
                pattern(m << shift),
                lanes(_V[at]),
                lanes(_M[at]),
            )
            assert (mask[i, at] & ~out_m == 0).all()
            assert (value[i, at] & ~out_m == out_v).all()
            exact += int((out_m == mask[i, at]).sum())
    assert int(100 * exact / len(TNUMS) ** 2) == MUL_BEST[place]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_tighten(place: str, signed: bool) -> None:
    """Every tnum with every range: the result has every value of both, and its ends are values.

    Signed, the highest of the 6 bits is the sign, and the bits above are as unknown as it."""
    shift = PLACES[place]
    sign = COUNT // 2 if signed else 0
    x = np.array(ALL, np.int64) - sign << shift
    tnum = np.repeat(np.arange(len(TNUMS)), len(RANGES))
    low, high = (np.tile(end, len(TNUMS)) for end in np.array(RANGES).T)
    parts = [np.full(len(tnum), part) for part in UNKNOWN]
    parts[:2] = (((bits ^ sign) - sign << shift)[tnum] for bits in (_V, _M))
    ends = slice(2, 4) if signed else slice(4, 6)
    parts[ends] = x[low], x[high]
    out = np.zeros((len(parts), len(tnum)), np.int64)
    some = np.zeros(len(tnum), bool)

    def done(result: Any, at: Any) -> None:
        if result is not None:
            some[at] = True
            for i, part in enumerate(COMPONENTS):
                out[i, at] = getattr(result, part)

    run(SOURCES.scalar.tighten, done, *map(lanes, parts))
    first, last = np.full(len(tnum), COUNT), np.full(len(tnum), -1)
    for i in ALL:
        at = np.flatnonzero(MEMBERS[tnum, i ^ sign] & (low <= i) & (i <= high))
        assert some[at].all()
        assert contains(out[:, at], int(x[i]))
        first[at] = np.minimum(first[at], i)
        last[at] = i
    there = last >= 0
    at = np.flatnonzero(there)
    found = out[ends][:, at]
    exact = (found[0] == x[first[at]]) & (found[1] == x[last[at]])
    assert int(100 * exact.mean()) == ENDS_MET[place, signed]
    assert int(1000 * (some & ~there).mean()) == UNSEEN[place, signed]


def contains(scalars: Any, x: int) -> bool:
    """Is x among the values of all the scalars?"""
    v, m, smin, smax, umin, umax, s32_min, s32_max, u32_min, u32_max = scalars
    low = x & (1 << 32) - 1
    signed = (low ^ 1 << 31) - (1 << 31)
    unsigned = np.int64(x).view(np.uint64)
    inside = (
        (x & ~m == v)
        & (smin <= x)
        & (x <= smax)
        & (umin.view(np.uint64) <= unsigned)
        & (unsigned <= umax.view(np.uint64))
        & (s32_min <= signed)
        & (signed <= s32_max)
        & (u32_min <= low)
        & (low <= u32_max)
    )
    return bool(inside.all())


CONDITIONS: dict[str, Callable[[Any, Any], Any]] = {
    "JEQ": np.equal,
    "JNE": np.not_equal,
    "JLT": np.less,
    "JGE": np.greater_equal,
    "JLE": np.less_equal,
    "JGT": np.greater,
    "JSLT": np.less,
    "JSGE": np.greater_equal,
    "JSLE": np.less_equal,
    "JSGT": np.greater,
    "JSET": lambda x, y: x & y != 0,
    "NO_BIT": lambda x, y: x & y == 0,
}
SIGNED = ("JSLT", "JSGE", "JSLE", "JSGT")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_with_a_constant(name: str, place: str) -> None:
    """Every range, unsigned or (for signed conditions) signed, and every constant: where the
    condition holds no value is lost, and what it is said to do always or never, it does."""
    refine, scalar = SOURCES.refine, SOURCES.scalar
    code = getattr(refine, name)
    signed = name in SIGNED
    x = np.array(ALL, np.int64) - (COUNT // 2 if signed else 0) << PLACES[place]
    low, high = (np.repeat(end, COUNT) for end in np.array(RANGES).T)
    other = np.tile(np.array(ALL), len(RANGES))
    member = [(low <= i) & (i <= high) for i in ALL]
    holding = [CONDITIONS[name](i, other) & member[i] for i in ALL]
    some = np.any(holding, axis=0)
    always = np.all(np.array(holding) == np.array(member), axis=0)

    def operands(first: Any, last: Any, constant: Any) -> tuple[Any, Any]:
        parts = list(UNKNOWN)
        parts[slice(2, 4) if signed else slice(4, 6)] = first, last
        return scalar.Scalar(*parts), scalar.const(constant)

    def refined(pair: Any, at: Any) -> None:
        if pair is None:
            assert not some[at].any()
            return
        parts = [np.broadcast_to(getattr(pair[0], part), at.shape) for part in COMPONENTS]
        for i in ALL:
            assert contains(np.array(parts)[:, holding[i][at]], int(x[i]))

    def said(taken: int, at: Any) -> None:
        if taken == refine.ALWAYS:
            assert always[at].all()
        if taken == refine.NEVER:
            assert not some[at].any()

    given = [lanes(x[numbers]) for numbers in (low, high, other)]
    run(lambda *ends: refine.holds(code, 64, *operands(*ends)), refined, *given)
    run(lambda *ends: refine.branch_taken(code, 64, *operands(*ends)), said, *given)
