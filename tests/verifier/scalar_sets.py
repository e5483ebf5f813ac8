"""Concrete values, their arithmetic, and the scalars that stand for sets of them.

The arithmetic is written from RFC 9669 section 4.1 and 4.3, apart from the code under test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st

from bpfheap.verifier.domain import arith, refine, scalar, tnum
from bpfheap.verifier.domain.scalar import Scalar
from bpfheap.verifier.domain.word import pattern, unsigned

U64 = (1 << 64) - 1
U32 = (1 << 32) - 1
S64_MIN, S64_MAX = -(1 << 63), (1 << 63) - 1
S32_MIN, S32_MAX = -(1 << 31), (1 << 31) - 1


class Tnum(NamedTuple):
    """A tnum in unsigned numbers."""

    value: int
    mask: int


class View(NamedTuple):
    """A scalar as people write it: bits and unsigned ends as unsigned numbers."""

    tnum: Tnum
    smin: int
    smax: int
    umin: int
    umax: int
    s32_min: int
    s32_max: int
    u32_min: int
    u32_max: int

    @property
    def scalar(self) -> Scalar:
        return Scalar(
            pattern(self.tnum.value), pattern(self.tnum.mask), self.smin, self.smax,
            pattern(self.umin), pattern(self.umax),
            self.s32_min, self.s32_max, self.u32_min, self.u32_max,
        )  # fmt: skip

    def contains(self, x: int) -> bool:
        return self.scalar.contains(pattern(x))


def view(s: Scalar) -> View:
    return View(
        Tnum(unsigned(s.v), unsigned(s.m)), s.smin, s.smax, unsigned(s.umin), unsigned(s.umax),
        s.s32_min, s.s32_max, s.u32_min, s.u32_max,
    )  # fmt: skip


ANY = view(scalar.UNKNOWN_SCALAR)


def const(value: int) -> View:
    return view(scalar.constant(value))


def together(v: View) -> View | None:
    """What its components say about each other."""
    s = v.scalar
    out = scalar.tighten(
        s.v, s.m, s.smin, s.smax, s.umin, s.umax, s.s32_min, s.s32_max, s.u32_min, s.u32_max
    )
    return None if out is None else view(out)


def subset(a: View, b: View) -> bool:
    return scalar.subset(a.scalar, b.scalar)


def alu(name: str, width: int, a: View, b: View) -> View:
    if name == "mov":
        return cast(b, width, False)
    if name == "neg":
        return view(arith.negated(width, a.scalar))
    return view(arith.alu(arith.ALU_CODE[name], width, a.scalar, b.scalar))


def cast(a: View, bits: int, signed: bool) -> View:
    return view(arith.cast(a.scalar, bits, signed))


def load_bounds(bits: int, signed: bool) -> View:
    return view(arith.load_bounds(bits, signed))


def byteswap(name: str, width: int, a: View) -> View:
    return view(arith.byteswap(name, width, a.scalar))


def branch_taken(op: str, width: int, a: View, b: View) -> bool | None:
    taken = refine.branch_taken(refine.JUMP_CODE[op], width, a.scalar, b.scalar)
    return None if taken == refine.DEPENDS else taken == refine.ALWAYS


Pair = tuple[View, View]


def branch(op: str, width: int, a: View, b: View) -> tuple[Pair | None, Pair | None]:
    """The operands where the condition holds and where it does not, None for a side that no
    values take."""
    taken = branch_taken(op, width, a, b)
    if taken is not None:
        return ((a, b), None) if taken else (None, (a, b))
    code = refine.JUMP_CODE[op]
    sides = [refine.holds(c, width, a.scalar, b.scalar) for c in (code, code ^ 1)]
    one, two = (None if s is None else (view(s[0]), view(s[1])) for s in sides)
    return one, two


def tnum_union(a: Tnum, b: Tnum) -> Tnum:
    v, m = tnum.tnum_union(*map(pattern, (*a, *b)))
    return Tnum(unsigned(v), unsigned(m))


#: Same examples in every run, and no limit on the time of one.
fixed = settings(derandomize=True, deadline=None)


def s64(x: int) -> int:
    return x - (1 << 64) if x >> 63 else x


def s32(x: int) -> int:
    x &= U32
    return x - (1 << 32) if x >> 31 else x


def truncated_quotient(a: int, b: int) -> int:
    """Division that rounds towards 0."""
    return a // b if (a >= 0) == (b > 0) or a % b == 0 else a // b + 1


def concrete_alu(name: str, width: int, a: int, b: int) -> int:
    """a `name` b of unsigned 64-bit values, as an unsigned 64-bit value."""
    if width == 32:
        a, b = a & U32, b & U32
    signed = s64 if width == 64 else s32
    result: int
    match name:
        case "add":
            result = a + b
        case "sub":
            result = a - b
        case "mul":
            result = a * b
        case "div":
            result = a // b if b else 0
        case "mod":
            result = a % b if b else a
        case "sdiv":
            result = truncated_quotient(signed(a), signed(b)) if b else 0
        case "smod":
            x, y = signed(a), signed(b)
            result = x - y * truncated_quotient(x, y) if y else a
        case "or":
            result = a | b
        case "and":
            result = a & b
        case "xor":
            result = a ^ b
        case "lsh":
            result = a << (b % width)
        case "rsh":
            result = a >> (b % width)
        case "arsh":
            result = signed(a) >> (b % width)
        case "neg":
            result = -a
        case "mov":
            result = b
        case _:
            raise AssertionError(name)
    return result & (U64 if width == 64 else U32)


_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "jeq": lambda a, b: a == b,
    "jne": lambda a, b: a != b,
    "jgt": lambda a, b: a > b,
    "jge": lambda a, b: a >= b,
    "jlt": lambda a, b: a < b,
    "jle": lambda a, b: a <= b,
    "jset": lambda a, b: a & b != 0,
}
_COMPARE_SIGNED = {"jsgt": "jgt", "jsge": "jge", "jslt": "jlt", "jsle": "jle"}
CONDITIONS = (*_COMPARE, *_COMPARE_SIGNED)


def concrete_branch(op: str, width: int, a: int, b: int) -> bool:
    """Is the jump taken, for unsigned 64-bit values?"""
    if op in _COMPARE_SIGNED:
        signed = s64 if width == 64 else s32
        return _COMPARE[_COMPARE_SIGNED[op]](signed(a), signed(b))
    if width == 32:
        a, b = a & U32, b & U32
    return _COMPARE[op](a, b)


def hull(values: Iterable[int], keep: int = 31) -> View:
    """The scalar of a set of unsigned values. Of the five components (bits, s64, u64, s32, u32)
    only those whose bit is set in `keep` say anything before they are brought together."""
    xs = list(values)
    any_value = ANY
    bits = reduce(tnum_union, (Tnum(x, 0) for x in xs)) if keep & 1 else any_value.tnum
    raw = any_value._replace(tnum=bits)
    if keep & 2:
        raw = raw._replace(smin=min(map(s64, xs)), smax=max(map(s64, xs)))
    if keep & 4:
        raw = raw._replace(umin=min(xs), umax=max(xs))
    if keep & 8:
        raw = raw._replace(s32_min=min(map(s32, xs)), s32_max=max(map(s32, xs)))
    if keep & 16:
        raw = raw._replace(u32_min=min(x & U32 for x in xs), u32_max=max(x & U32 for x in xs))
    s = together(raw)
    assert s is not None, f"{raw} allows {xs[0]:#x}"
    return s


_EDGES = sorted(
    {
        (sign * ((1 << bit) + delta)) & U64
        for bit in (0, 3, 7, 8, 15, 16, 31, 32, 33, 62, 63)
        for delta in (-2, -1, 0, 1)
        for sign in (1, -1)
    }
)
#: Unsigned 64-bit values, most of them where something wraps, widens or changes its sign.
values = st.one_of(
    st.sampled_from(_EDGES),
    st.integers(0, 70),
    st.tuples(st.sampled_from(_EDGES), st.integers(-40, 40)).map(lambda p: (p[0] + p[1]) & U64),
    st.integers(0, U64),
)
#: Small sets of values, and which components of their scalar to keep.
value_sets = st.lists(values, min_size=1, max_size=4, unique=True)
keeps = st.sampled_from((31, 31, 31, 1, 2, 4, 8, 16, 6, 24, 10, 20, 30))
