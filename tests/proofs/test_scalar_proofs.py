"""Proofs with z3, for all 64-bit values: no function on scalars loses a value."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
import z3
from sources import COMPONENTS, Sources
from symbolic import (
    LOW,
    MODELS,
    SOURCES,
    Cut,
    Refuted,
    Seen,
    Truth,
    Word,
    any_scalar,
    bits,
    demand,
    fresh,
    in32,
    in64,
    in_bits,
    in_scalar,
    in_unsigned,
    known,
    natural,
    prove,
    truth,
)

pytestmark = pytest.mark.long

X, Y = z3.BitVecs("x y", 64)


def as_handed(*components: Any) -> Any:
    """In place of `tighten`: a scalar of what it is told. That `tighten` loses nothing of it is a
    proof of its own."""
    return SOURCES.scalar.Scalar(*components)


@pytest.fixture(autouse=True)
def _untightened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SOURCES.arith, "tighten", as_handed)
    monkeypatch.setattr(SOURCES.refine, "tighten", as_handed)


def inside(*components: Any) -> Any:
    return in_scalar(X, SOURCES.scalar.Scalar(*components))


def test_tighten() -> None:
    cut = Cut(inside)
    # Each round of the loop starts from a cut, so one round stands for all.
    scalar = Sources({**MODELS, "range": lambda _: range(1)}, cut).scalar
    single, only = z3.Bool("single"), fresh("only")

    def one_member(v: Any, m: Any, first: Any, last: Any) -> Truth:
        demand(among(v, m, first, last))
        return Truth(single)

    # What they do is test_the_only_member.
    scalar._one_member = one_member
    scalar.member_from = lambda *_: only
    given = [fresh(part) for part in COMPONENTS]

    def run() -> Any:
        cut.start()
        try:
            return scalar.tighten(*given)
        except Seen:
            return Seen

    def claim(result: Any) -> Any:
        return True if result is Seen else result is not None and in_scalar(X, result)

    assumed = [inside(*given), z3.Implies(single, only.bits == X)]
    assert prove(assumed, run, claim) > 20


def among(v: Any, m: Any, first: Any, last: Any) -> Any:
    return z3.And(in_bits(X, v, m), in_unsigned(X, first, last))


def test_the_only_member() -> None:
    scalar = SOURCES.scalar
    given = [fresh(part) for part in ("v", "m", "first", "last")]
    prove(
        [among(*given)],
        lambda: (scalar._one_member(*given), scalar.member_from(*given[:3])),
        lambda out: z3.Implies(truth(out[0]), bits(out[1]) == X),
    )


#: On 64 and on 32 bits.
CONCRETE: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
}
SHIFTS: dict[str, Callable[[Any, int], Any]] = {
    "lsh": operator.lshift,
    "rsh": z3.LShR,
    "arsh": operator.rshift,
}


def low(x: Any) -> Any:
    return z3.Extract(31, 0, x)


def zero_extended(x: Any) -> Any:
    return z3.ZeroExt(64 - x.size(), x) if x.size() < 64 else x


def operands(a: Any, b: Any) -> list[Any]:
    return [in_scalar(X, a), in_scalar(Y, b)]


def ends64(s: Any) -> list[Any]:
    return [s.smin, s.smax, s.umin, s.umax]


@pytest.mark.parametrize("name", ["add", "sub"])
def test_range64(name: str) -> None:
    a, b = any_scalar("a"), any_scalar("b")
    function = getattr(SOURCES.arith, f"_{name}64")
    prove(
        [in64(X, *ends64(a)), in64(Y, *ends64(b))],
        lambda: function(*ends64(a), *ends64(b)),
        lambda ends: in64(CONCRETE[name](X, Y), *ends),
    )


@pytest.mark.parametrize("name", CONCRETE)
def test_range32(name: str) -> None:
    a, b = any_scalar("a"), any_scalar("b")
    v, m = fresh("c.v"), fresh("c.m")
    result = CONCRETE[name](X, Y)
    prove(
        [*operands(a, b), in_bits(result & LOW, v & LOW, m & LOW)],
        lambda: SOURCES.arith._range32(SOURCES.arith.ALU_CODE[name], v, m, a, b),
        lambda ends: in32(result, *ends),
    )


@pytest.mark.parametrize("name", CONCRETE)
def test_bits(name: str) -> None:
    av, am, bv, bm = map(fresh, ("a.v", "a.m", "b.v", "b.m"))
    prove(
        [in_bits(X, av, am), in_bits(Y, bv, bm)],
        lambda: SOURCES.arith._bits(SOURCES.arith.ALU_CODE[name], av, am, bv, bm),
        lambda out: in_bits(CONCRETE[name](X, Y), *out),
    )


@pytest.mark.parametrize("width", [64, 32])
@pytest.mark.parametrize("name", [*CONCRETE, "mul"])
def test_alu(name: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what was proved of the bits and of the ranges alone."""
    a, b = any_scalar("a"), any_scalar("b")
    arith = SOURCES.arith
    if name == "mul":
        # Which value the product is does not matter; that of low halves has the same low half.
        whole = z3.BitVec("product", 64)
        monkeypatch.setattr(arith, "_exact", lambda *_: Word(whole))
    else:
        whole = CONCRETE[name](X, Y)
    monkeypatch.setattr(arith, "_bits", known("bits", 2, lambda *out: in_bits(whole, *out)))
    for part in ("_add64", "_sub64", "_mul64"):
        monkeypatch.setattr(arith, part, known(part, 4, lambda *out: in64(whole, *out)))
    monkeypatch.setattr(arith, "_range32", known("low", 4, lambda *out: in32(whole, *out)))
    prove(
        operands(a, b),
        lambda: arith.alu(arith.ALU_CODE[name], width, a, b),
        lambda out: in_scalar(whole if width == 64 else whole & LOW, out),
    )


@pytest.mark.parametrize("width", [64, 32])
def test_negated(width: int) -> None:
    a = any_scalar("a")
    prove(
        [in_scalar(X, a)],
        lambda: SOURCES.arith.negated(width, a),
        lambda out: in_scalar(zero_extended(-(X if width == 64 else low(X))), out),
    )


@pytest.mark.parametrize("width", [64, 32])
@pytest.mark.parametrize("name", SHIFTS)
def test_shifts(name: str, width: int) -> None:
    a = any_scalar("a")
    code = SOURCES.arith.ALU_CODE[name]
    for n in range(width):
        amount = SOURCES.scalar.const(n)
        result = zero_extended(SHIFTS[name](X if width == 64 else low(X), n))
        prove(
            [in_scalar(X, a)],
            lambda amount=amount: SOURCES.arith.alu(code, width, a, amount),  # type: ignore[misc]
            lambda out, result=result: in_scalar(result, out),  # type: ignore[misc]
        )


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_cast(bits: int, signed: bool) -> None:
    a = any_scalar("a")
    part = z3.Extract(bits - 1, 0, X)
    result = (z3.SignExt if signed else z3.ZeroExt)(64 - bits, part)
    prove(
        [in_scalar(X, a)],
        lambda: SOURCES.arith.cast(a, bits, signed),
        lambda out: in_scalar(result, out),
    )
    prove([], lambda: SOURCES.arith.load_bounds(bits, signed), lambda out: in_scalar(result, out))


@pytest.mark.parametrize("bits", [8, 16])
def test_cast_half(bits: int) -> None:
    a = any_scalar("a")
    half = z3.SignExt(32 - bits, z3.Extract(bits - 1, 0, X))
    prove(
        [in_scalar(X, a)],
        lambda: SOURCES.arith.cast_half(a, bits),
        lambda out: in_scalar(zero_extended(half), out),
    )


@pytest.mark.parametrize("half", [0, -1])
def test_with_low_half(half: int) -> None:
    a = any_scalar("a")
    prove(
        [in_scalar(X, a), low(X) == half],
        lambda: SOURCES.arith.with_low_half(a, half),
        lambda out: in_scalar(X, out),
    )


@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("name", ["le", "be", "bswap"])
def test_byteswap(name: str, width: int) -> None:
    a = any_scalar("a")
    octets = [z3.Extract(at + 7, at, X) for at in range(0, width, 8)]
    if name == "le":
        octets.reverse()
    prove(
        [in_scalar(X, a)],
        lambda: SOURCES.arith.byteswap(name, width, a),
        lambda out: in_scalar(zero_extended(z3.Concat(*octets)), out),
    )


CONDITIONS: dict[str, Callable[[Any, Any], Any]] = {
    "JEQ": operator.eq,
    "JNE": operator.ne,
    "JLT": z3.ULT,
    "JGE": z3.UGE,
    "JLE": z3.ULE,
    "JGT": z3.UGT,
    "JSLT": operator.lt,
    "JSGE": operator.ge,
    "JSLE": operator.le,
    "JSGT": operator.gt,
    "JSET": lambda x, y: x & y != 0,
    "NO_BIT": lambda x, y: x & y == 0,
}


def condition(name: str, width: int) -> Any:
    return CONDITIONS[name](X, Y) if width == 64 else CONDITIONS[name](low(X), low(Y))


@pytest.mark.parametrize("width", [64, 32])
@pytest.mark.parametrize("name", CONDITIONS)
def test_holds(name: str, width: int) -> None:
    a, b = any_scalar("a"), any_scalar("b")
    code = getattr(SOURCES.refine, name)
    prove(
        [in_scalar(X, a), in_scalar(Y, b), condition(name, width)],
        lambda: SOURCES.refine.holds(code, width, a, b),
        lambda pair: pair is not None and z3.And(in_scalar(X, pair[0]), in_scalar(Y, pair[1])),
    )


@pytest.mark.parametrize("width", [64, 32])
@pytest.mark.parametrize("name", CONDITIONS)
def test_branch_taken(name: str, width: int) -> None:
    a, b = any_scalar("a"), any_scalar("b")
    refine = SOURCES.refine
    said = {
        refine.ALWAYS: condition(name, width),
        refine.NEVER: z3.Not(condition(name, width)),
        refine.DEPENDS: True,
    }
    prove(
        [in_scalar(X, a), in_scalar(Y, b)],
        lambda: refine.branch_taken(getattr(refine, name), width, a, b),
        lambda taken: said[taken],
    )


def test_subset() -> None:
    """What pruning relies on: a value of the lesser is one of the greater."""
    a, b = any_scalar("a"), any_scalar("b")
    ends = natural(b.s32_min, b.s32_max, b.u32_min, b.u32_max)

    def claim(is_subset: Any) -> Any:
        return z3.Implies(truth(is_subset), in_scalar(X, b))

    prove([in_scalar(X, a), ends], lambda: SOURCES.scalar.subset(a, b), claim)


@pytest.mark.parametrize("width", [64, 32])
def test_a_wrong_function_is_refuted(width: int) -> None:
    a, b = any_scalar("a"), any_scalar("b")
    with pytest.raises(Refuted):
        prove(
            [in_scalar(X, a), in_scalar(Y, b)],
            lambda: SOURCES.arith.alu(SOURCES.arith.ADD, width, a, b),
            lambda out: in_scalar(X - Y, out),
        )
