"""Many numbers at once: one array of 64-bit words in place of each number (numpy).

Where a condition holds in some lanes only, the function starts over, once for those and once for
the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sources import Sources


class Split(Exception):
    """A condition holds in the lanes of `where`, but not in the others."""

    def __init__(self, where: Any) -> None:
        self.where = where


class Lanes(np.ndarray[Any, Any]):
    def __bool__(self) -> bool:
        where = np.asarray(self) != 0
        if not where.all() and where.any():
            raise Split(where)
        return bool(where.all())


def lanes(numbers: Any) -> Any:
    return np.asarray(numbers, dtype=np.int64).view(Lanes)


def run(
    function: Callable[..., Any], done: Callable[[Any, Any], None], *arguments: Any, at: Any = None
) -> None:
    """Call the function on all lanes; `done(result, at)` gets the result for the lanes `at`."""
    if at is None:
        at = np.arange(len(arguments[0]))
    try:
        result = function(*arguments)
    except Split as split:
        for where in (split.where, ~split.where):
            run(function, done, *(a[where] for a in arguments), at=at[where])
    else:
        done(result, at)


def _unsigned(x: Any) -> Any:
    return np.asarray(x, dtype=np.int64).view(np.uint64)


def _ult(a: Any, b: Any) -> Any:
    return (_unsigned(a) < _unsigned(b)).view(Lanes)


def _ule(a: Any, b: Any) -> Any:
    return (_unsigned(a) <= _unsigned(b)).view(Lanes)


def _lower(a: Any, b: Any) -> Any:
    return np.where(_unsigned(a) < _unsigned(b), a, b).view(Lanes)


def _higher(a: Any, b: Any) -> Any:
    return np.where(_unsigned(a) < _unsigned(b), b, a).view(Lanes)


def _min(*values: Any) -> Any:
    least = values[0]
    for value in values[1:]:
        least = np.minimum(least, value)
    return least


def _max(*values: Any) -> Any:
    most = values[0]
    for value in values[1:]:
        most = np.maximum(most, value)
    return most


def _on_lanes(plain: Callable[..., Any], many: Callable[..., Any]) -> Callable[..., Any]:
    def either(*values: Any, **options: Any) -> Any:
        if any(isinstance(x, np.ndarray) for x in values):
            return many(*values)
        return plain(*values, **options)

    return either


_PLAIN = Sources({})
SOURCES = Sources(
    {
        "min": _on_lanes(min, _min),
        "max": _on_lanes(max, _max),
        # 64-bit arrays wrap around by themselves, as compiled code does.
        "wrap": _on_lanes(_PLAIN.word.wrap, lambda x: x),
        "ult": _on_lanes(_PLAIN.word.ult, _ult),
        "ule": _on_lanes(_PLAIN.word.ule, _ule),
        "lower": _on_lanes(_PLAIN.word.lower, _lower),
        "higher": _on_lanes(_PLAIN.word.higher, _higher),
    }
)
