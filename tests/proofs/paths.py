"""Runs functions on values that stand for many, once for each way through them.

A value that cannot say whether a condition holds asks `decide`: the run goes one way, and a later
run of the same function goes the other. The function has to be deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

import z3

Condition = TypeVar("Condition", contravariant=True)
Result = TypeVar("Result")


class Domain(Protocol[Condition]):
    """What the values stand for, as far as the conditions assumed so far allow it."""

    def start(self) -> None:
        """Forget all assumed conditions."""

    def can(self, condition: Condition, holds: bool) -> bool:
        """May the condition be true (or false)?"""

    def assume(self, condition: Condition, holds: bool) -> None:
        """From here on it is true (or false)."""


class Paths(Generic[Condition]):
    """All ways through a function."""

    def __init__(self, domain: Domain[Condition]) -> None:
        self.domain = domain
        # The answers of the run, and for each whether the other one is still to be given.
        self._trail: list[tuple[bool, bool]] = []
        self._at = 0

    def decide(self, condition: Condition) -> bool:
        if self._at == len(self._trail):
            yes = self.domain.can(condition, True)
            self._trail.append((yes, yes and self.domain.can(condition, False)))
        answer, _ = self._trail[self._at]
        self._at += 1
        self.domain.assume(condition, answer)
        return answer

    @property
    def answers(self) -> tuple[bool, ...]:
        """Those of this run so far."""
        return tuple(answer for answer, _ in self._trail[: self._at])

    def each(self, function: Callable[[], Result]) -> Iterator[Result]:
        """The results, one for each way; the domain holds the conditions of that way."""
        self._trail = []
        while True:
            self._at = 0
            self.domain.start()
            yield function()
            while self._trail and not self._trail[-1][1]:
                self._trail.pop()
            if not self._trail:
                return
            answer, _ = self._trail[-1]
            self._trail[-1] = (not answer, False)


def told(condition: Any, decide: Callable[[Any], bool]) -> bool:
    """Does a condition of z3 hold? Asks only where it depends."""
    simple = z3.simplify(condition)
    if z3.is_true(simple) or z3.is_false(simple):
        return bool(z3.is_true(simple))
    return decide(simple)
