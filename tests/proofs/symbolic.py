"""Words that stand for all 64-bit values (z3), and proofs about functions on them.

A `Word` has the 64 bits that compiled code computes. Uncompiled, the same code computes with whole
numbers of any size: `fits` says where the whole number is that of the 64 bits. Where a difference
would show (in a comparison, a shift to the right, an argument of `min`, a result) a proof has to
show that it fits. So what is proved holds for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import z3
from paths import Paths, told
from sources import COMPONENTS, Sources

Bool = Any  # z3.BoolRef: z3 has no types
Bits = Any  # z3.BitVecRef

WIDTH = 64
LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1
#: Milliseconds for one question to z3; the slowest takes a few seconds.
PATIENCE = 120_000


class _Values:
    """The values allowed so far: what a proof assumes, and the conditions of this way."""

    def __init__(self) -> None:
        self.assumed: list[Bool] = []
        self.conditions: list[Bool] = []
        self.duties: list[Bool] = []
        self._solver = z3.Solver()
        self._solver.set("timeout", 2000)

    def start(self) -> None:
        self.conditions = []
        self.duties = []

    def can(self, condition: Bool, holds: bool) -> bool:
        told = condition if holds else z3.Not(condition)
        # Not known is as good as possible: the proof then is of one way more.
        answer: bool = self._solver.check(*self.assumed, *self.conditions, told) != z3.unsat
        return answer

    def assume(self, condition: Bool, holds: bool) -> None:
        self.conditions.append(condition if holds else z3.Not(condition))


_values = _Values()
_paths: Paths[Bool] = Paths(_values)


class Truth:
    """A condition that may hold or not."""

    def __init__(self, holds: Bool) -> None:
        self.holds = holds

    def __bool__(self) -> bool:
        return told(self.holds, _paths.decide)

    def __eq__(self, other: object) -> Truth:  # type: ignore[override]
        return Truth(self.holds == truth(other))

    def __ne__(self, other: object) -> Truth:  # type: ignore[override]
        return Truth(self.holds != truth(other))

    __hash__ = None  # type: ignore[assignment]


def truth(x: object) -> Bool:
    return x.holds if isinstance(x, Truth) else z3.BoolVal(bool(x))


def demand(duty: Bool) -> None:
    """The proof has to show that, too."""
    if not z3.is_true(duty):
        _values.duties.append(duty)


class Word:
    def __init__(self, bits: Bits, fits: Bool = None) -> None:
        self.bits = bits
        self.fits = z3.BoolVal(True) if fits is None else fits

    def _with(self, other: Any, make: Callable[[Bits, Bits], Bits], *no_overflow: Any) -> Word:
        b = word(other, self.bits.size())
        fits = z3.And(self.fits, b.fits, *(test(self.bits, b.bits) for test in no_overflow))
        return Word(make(self.bits, b.bits), z3.simplify(fits))

    def __add__(self, other: Any) -> Word:
        return self._with(
            other, lambda a, b: a + b, lambda a, b: z3.BVAddNoOverflow(a, b, True),
            z3.BVAddNoUnderflow,
        )  # fmt: skip

    __radd__ = __add__

    def __sub__(self, other: Any) -> Word:
        return self._with(
            other, lambda a, b: a - b, z3.BVSubNoOverflow,
            lambda a, b: z3.BVSubNoUnderflow(a, b, True),
        )  # fmt: skip

    def __rsub__(self, other: Any) -> Word:
        return word(other, self.bits.size()) - self

    def __mul__(self, other: Any) -> Word:
        return self._with(
            other, lambda a, b: a * b, lambda a, b: z3.BVMulNoOverflow(a, b, True),
            z3.BVMulNoUnderflow,
        )  # fmt: skip

    def __and__(self, other: Any) -> Word:
        if isinstance(other, int) and 0 <= other <= HIGHEST:
            return Word(self.bits & other)
        return self._with(other, lambda a, b: a & b)

    __rand__ = __and__

    def __or__(self, other: Any) -> Word:
        return self._with(other, lambda a, b: a | b)

    __ror__ = __or__

    def __xor__(self, other: Any) -> Word:
        return self._with(other, lambda a, b: a ^ b)

    __rxor__ = __xor__

    def __invert__(self) -> Word:
        return Word(~self.bits, self.fits)

    def __neg__(self) -> Word:
        return 0 - self

    def __lshift__(self, n: int) -> Word:
        assert 0 <= n < self.bits.size()
        moved = self.bits << n
        return Word(moved, z3.simplify(z3.And(self.fits, moved >> n == self.bits)))

    def __rshift__(self, n: int) -> Word:
        assert 0 <= n < self.bits.size()
        demand(self.fits)
        return Word(self.bits >> n)

    def _compared(self, other: Any, holds: Callable[[Bits, Bits], Bool]) -> Truth:
        b = word(other, self.bits.size())
        demand(self.fits)
        demand(b.fits)
        return Truth(holds(self.bits, b.bits))

    def __lt__(self, other: Any) -> Truth:
        return self._compared(other, lambda a, b: a < b)

    def __le__(self, other: Any) -> Truth:
        return self._compared(other, lambda a, b: a <= b)

    def __gt__(self, other: Any) -> Truth:
        return self._compared(other, lambda a, b: a > b)

    def __ge__(self, other: Any) -> Truth:
        return self._compared(other, lambda a, b: a >= b)

    def __eq__(self, other: object) -> Truth:  # type: ignore[override]
        return self._compared(other, lambda a, b: a == b)

    def __ne__(self, other: object) -> Truth:  # type: ignore[override]
        return self._compared(other, lambda a, b: a != b)

    def __bool__(self) -> bool:
        return bool(self != 0)

    __hash__ = None  # type: ignore[assignment]


def word(x: Any, width: int = WIDTH) -> Word:
    if isinstance(x, Word):
        return x
    assert -(1 << width) < x < 1 << width
    return Word(z3.BitVecVal(x, width), z3.BoolVal(-(1 << width - 1) <= x < 1 << width - 1))


def fresh(name: str) -> Word:
    return Word(z3.BitVec(name, WIDTH))


def bits(x: Any) -> Bits:
    """A result's 64 bits."""
    x = word(x)
    demand(x.fits)
    return x.bits


def _chosen(holds: Callable[[Bits, Bits], Bool], values: Iterable[Any]) -> Word:
    best, *others = map(bits, values)
    for other in others:
        best = z3.If(holds(best, other), best, other)
    return Word(best)


def _on_words(plain: Callable[..., Any], symbolic: Callable[..., Any]) -> Callable[..., Any]:
    """`plain` on numbers, `symbolic` as soon as there is a Word."""

    def either(*values: Any, **options: Any) -> Any:
        if any(isinstance(x, Word) for x in values):
            return symbolic(*values)
        return plain(*values, **options)

    return either


def _shifted_right(x: Any, n: int) -> Word:
    assert 0 <= n < WIDTH
    return Word(z3.LShR(bits(x), n))


#: What each of them is to do, said in z3; that `word` does it is proved in test_words.
MEANING: dict[str, Callable[..., Any]] = {
    "wrap": lambda x: Word(word(x).bits),
    "ult": lambda a, b: Truth(z3.ULT(bits(a), bits(b))),
    "ule": lambda a, b: Truth(z3.ULE(bits(a), bits(b))),
    "lower": lambda a, b: _chosen(z3.ULE, (a, b)),
    "higher": lambda a, b: _chosen(z3.UGE, (a, b)),
    "lsr": _shifted_right,
}
_MIN_MAX: dict[str, Callable[..., Any]] = {
    "min": _on_words(min, lambda *xs: _chosen(lambda a, b: a <= b, xs)),
    "max": _on_words(max, lambda *xs: _chosen(lambda a, b: a >= b, xs)),
}

PLAIN = Sources(_MIN_MAX)
#: What to put in place of builtins and functions of `word`.
MODELS = {n: _on_words(getattr(PLAIN.word, n), f) for n, f in MEANING.items()} | _MIN_MAX
SOURCES = Sources(MODELS)


class Refuted(AssertionError):
    """z3 knows values for which the claim does not hold."""


def _parts(claim: Bool) -> list[Bool]:
    """What has to hold for the claim to hold."""
    if isinstance(claim, bool):
        return [z3.BoolVal(claim)]
    if z3.is_and(claim):
        return [part for child in claim.children() for part in _parts(child)]
    if z3.is_implies(claim):
        # Each of them alone is easy; all in one question is a matter of luck.
        condition, all_told = claim.children()
        return [z3.Implies(condition, part) for part in _parts(all_told)]
    return [claim]


def _names(term: Any) -> set[str]:
    found: set[str] = set()
    seen: set[int] = set()
    rest = [term]
    while rest:
        term = rest.pop()
        if term.get_id() in seen:
            continue
        seen.add(term.get_id())
        if z3.is_const(term) and term.decl().kind() == z3.Z3_OP_UNINTERPRETED:
            found.add(term.decl().name())
        rest += term.children()
    return found


#: Claims that follow from some of what was known, so that other ways need not ask again.
_shown: set[tuple[frozenset[Bool], Bool]] = set()


def _follows(known: list[Bool], part: Bool, patience: int) -> bool:
    question = frozenset(known), part
    if question not in _shown:
        solver = z3.SolverFor("QF_BV")
        solver.set("timeout", patience)
        solver.add(*known, z3.Not(part))
        answer = solver.check()
        if answer == z3.sat and patience == PATIENCE:
            raise Refuted(f"{part}: {solver.model()}")
        if answer != z3.unsat:
            return False
        _shown.add(question)
    return True


def _about(known: list[tuple[Bool, set[str]]], names: set[str]) -> list[Bool]:
    """What is known of the numbers, of the other ends of their ranges, and of those that conditions
    compare them with. (All numbers have to do with `x` and `y`: that does not count.)"""
    reached = _ranges(names)
    while True:
        more = reached.union(*(_ranges(n) for _, n in known if _ranges(n) & reached))
        if more == reached:
            return [told for told, n in known if _ranges(n) <= reached]
        reached = more


def _ranges(names: set[str]) -> set[str]:
    return {name.replace("max", "min") for name in names} - {"x", "y"}


def show(claim: Bool) -> None:
    """Show that the claim and all duties so far hold on this way. Raises Refuted."""
    known = [
        (part, _names(part))
        for told in (*_values.assumed, *_values.conditions)
        for part in _parts(told)
    ]
    everything = [told for told, _ in known]
    for part in dict.fromkeys((*_values.duties, *_parts(claim))):
        # Mostly what is known of the numbers in it is enough, and much faster.
        names = _names(part)
        if not (
            _follows([told for told, n in known if n <= names], part, 1000)
            or _follows(_about(known, names), part, 30_000)
            or _follows(everything, part, PATIENCE)
        ):
            raise Refuted(f"{part}: not known")


def prove(assumed: Iterable[Bool], run: Callable[[], Any], claim: Callable[[Any], Bool]) -> int:
    """Show that on every way through `run` the claim holds of its result; how many ways there are.

    Raises Refuted with z3's values, or if no value is assumed possible."""
    _values.assumed = list(assumed)
    _values.start()
    if not _values.can(z3.BoolVal(True), True):
        raise Refuted("nothing is assumed possible")
    ways = 0
    for result in _paths.each(run):
        show(claim(result))
        ways += 1
    return ways


def known(name: str, count: int, holds: Callable[..., Bool]) -> Callable[..., tuple[Word, ...]]:
    """In place of a function with `count` results: any results for which `holds`."""

    def results(*_: Any) -> tuple[Word, ...]:
        call = len(_values.conditions)
        out = tuple(fresh(f"{name}.{call}.{i}") for i in range(count))
        _values.assume(holds(*out), True)
        return out

    return results


class Seen(Exception):
    """Another way has been here: what comes now has been proved."""


class Cut:
    """Parts a long function: what comes before a call has to show that `holds` is true of the
    values it hands over; what comes after may use no more than that."""

    def __init__(self, holds: Callable[..., Bool]) -> None:
        self._holds = holds
        # The answers on the way that went on from each call.
        self._went_on: list[tuple[bool, ...]] = []
        self._at = 0

    def start(self) -> None:
        self._at = 0

    def __call__(self, *handed: Any) -> tuple[Any, ...]:
        if not any(isinstance(x, Word) for x in handed):
            return handed
        way = _paths.answers
        if self._at == len(self._went_on):
            self._went_on.append(way)
            show(self._holds(*handed))
        elif self._went_on[self._at] != way:
            show(self._holds(*handed))
            raise Seen
        self._at += 1
        after = tuple(fresh(f"{self._at}.{i}") for i in range(len(handed)))
        _values.start()
        _values.assume(self._holds(*after), True)
        return after


# What scalars and tnums stand for.

LOW = (1 << 32) - 1


def low_signed(x: Bits) -> Bits:
    """The low half, sign extended."""
    return z3.SignExt(32, z3.Extract(31, 0, x))


def low_unsigned(x: Bits) -> Bits:
    return z3.ZeroExt(32, z3.Extract(31, 0, x))


def in_bits(x: Bits, v: Any, m: Any) -> Bool:
    return x & ~bits(m) == bits(v)


def in_signed(x: Bits, low: Any, high: Any) -> Bool:
    return z3.And(bits(low) <= x, x <= bits(high))


def in_unsigned(x: Bits, low: Any, high: Any) -> Bool:
    return z3.And(z3.ULE(bits(low), x), z3.ULE(x, bits(high)))


def in64(x: Bits, smin: Any, smax: Any, umin: Any, umax: Any) -> Bool:
    return z3.And(in_signed(x, smin, smax), in_unsigned(x, umin, umax))


def in32(x: Bits, smin: Any, smax: Any, umin: Any, umax: Any) -> Bool:
    """The low half is in the ranges, and their ends are those of 32-bit ranges."""
    return z3.And(
        natural(smin, smax, umin, umax),
        in_signed(low_signed(x), smin, smax),
        in_signed(low_unsigned(x), umin, umax),
    )


def natural(smin: Any, smax: Any, umin: Any, umax: Any) -> Bool:
    return z3.And(
        bits(smin) >= -(1 << 31), bits(smax) < 1 << 31, bits(umin) >= 0, bits(umax) <= LOW
    )


def in_scalar(x: Bits, s: Any) -> Bool:
    return z3.And(
        in_bits(x, s.v, s.m),
        in64(x, s.smin, s.smax, s.umin, s.umax),
        in32(x, s.s32_min, s.s32_max, s.u32_min, s.u32_max),
    )


def any_scalar(name: str) -> Any:
    return SOURCES.scalar.Scalar(*(fresh(f"{name}.{part}") for part in COMPONENTS))
