"""Whole numbers (z3) for proofs about products: 64 x 64 bits are too many for bit vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import z3
from paths import Paths, told
from sources import Sources

Bool = Any  # z3.BoolRef: z3 has no types
MODULUS = 1 << 64


class _Values:
    def __init__(self) -> None:
        self.assumed: list[Bool] = []
        self.conditions: list[Bool] = []
        self.wrapped = 0

    def start(self) -> None:
        self.conditions = []
        self.wrapped = 0

    def can(self, condition: Bool, holds: bool) -> bool:
        solver = z3.Solver()
        solver.set("timeout", 500)
        told = condition if holds else z3.Not(condition)
        answer: bool = solver.check(*self.assumed, *self.conditions, told) != z3.unsat
        return answer

    def assume(self, condition: Bool, holds: bool) -> None:
        self.conditions.append(condition if holds else z3.Not(condition))


_values = _Values()
_paths: Paths[Bool] = Paths(_values)


class Truth:
    def __init__(self, holds: Bool) -> None:
        self.holds = holds

    def __bool__(self) -> bool:
        return told(self.holds, _paths.decide)


def whole(x: Any) -> Any:
    return x.term if isinstance(x, Number) else x


class Number:
    """An integer of any size."""

    def __init__(self, term: Any) -> None:
        self.term = term

    def __add__(self, other: Any) -> Number:
        return Number(self.term + whole(other))

    def __mul__(self, other: Any) -> Number:
        return Number(self.term * whole(other))

    def __rfloordiv__(self, other: int) -> Number:
        return Number(z3.IntVal(other) / self.term)

    def __lt__(self, other: Any) -> Truth:
        return Truth(self.term < whole(other))

    def __le__(self, other: Any) -> Truth:
        return Truth(self.term <= whole(other))

    def __gt__(self, other: Any) -> Truth:
        return Truth(self.term > whole(other))

    def __ge__(self, other: Any) -> Truth:
        return Truth(self.term >= whole(other))

    def __eq__(self, other: object) -> Truth:  # type: ignore[override]
        return Truth(self.term == whole(other))

    __hash__ = None  # type: ignore[assignment]


def wrap(x: Any) -> Any:
    """The same number but for a multiple of 2**64."""
    _values.wrapped += 1
    out, times = (z3.Int(f"{part}{_values.wrapped}") for part in ("wrapped", "times"))
    _values.assume(out == whole(x) - times * MODULUS, True)
    _values.assume(in_word(out), True)
    return Number(out)


def in_word(x: Any) -> Bool:
    return z3.And(x >= -(1 << 63), x < 1 << 63)


def unsigned(x: Any) -> Any:
    """Of a pattern (or of a number that fits): what it is as an unsigned number."""
    return z3.If(x < 0, x + MODULUS, x)


def _extreme(plain: Callable[..., Any], better: Callable[[Any, Any], Bool]) -> Callable[..., Any]:
    def either(*values: Any) -> Any:
        numbers = values if len(values) > 1 else tuple(values[0])
        if not any(isinstance(x, Number) for x in numbers):
            return plain(numbers)
        best, *others = map(whole, numbers)
        for other in others:
            best = z3.If(better(best, other), best, other)
        return Number(best)

    return either


SOURCES = Sources(
    {
        "min": _extreme(min, lambda a, b: a <= b),
        "max": _extreme(max, lambda a, b: a >= b),
    }
)
# After its own constants have been made.
SOURCES.arith.wrap = wrap
SOURCES.arith.unsigned = lambda x: Number(unsigned(whole(x)))


def prove(assumed: list[Bool], run: Callable[[], Any], claims: Callable[[Any], list[Bool]]) -> int:
    """Show that on every way through `run` the claims hold; how many ways there are."""
    _values.assumed = assumed
    ways = 0
    for result in _paths.each(run):
        for claim in claims(result):
            solver = z3.Solver()
            solver.set("timeout", 60_000)
            solver.add(*assumed, *_values.conditions, z3.Not(claim))
            answer = solver.check()
            assert answer == z3.unsat, (answer, claim, _values.conditions)
        ways += 1
    return ways
