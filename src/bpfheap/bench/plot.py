"""Curves as text: logarithmic axes, a letter for each curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

_HEIGHT: Final = 12
_WIDTH: Final = 14


def plot(x: Sequence[int], curves: Mapping[str, Sequence[float]], unit: str) -> list[str]:
    """Lines of text. A point that several curves share shows the letter of the first of them.
    Curves whose names begin alike get different letters."""
    heights = [y for curve in curves.values() for y in curve if y > 0]
    if not x or not heights:
        return []
    bottom, top = math.log(min(heights)), math.log(max(heights))
    step = (top - bottom) / (_HEIGHT - 1) or 1.0
    letters = _letters(curves)
    rows = [[" "] * (_WIDTH * len(x)) for _ in range(_HEIGHT)]
    for side, curve in curves.items():
        for column, y in enumerate(curve):
            if y <= 0:
                continue
            row = rows[round((math.log(y) - bottom) / step)]
            if row[at := _WIDTH * column + _WIDTH // 2] == " ":
                row[at] = letters[side]
    lines = [
        f"{math.exp(bottom + number * step):8.1f} {unit} |{''.join(row).rstrip()}"
        for number, row in reversed(list(enumerate(rows)))
    ]
    margin = " " * (len(unit) + 10)
    lines.append(f"{margin}+{'-' * (_WIDTH * len(x))}")
    lines.append(f"{margin} {''.join(f'{value:^{_WIDTH},}' for value in x)}".rstrip())
    lines.append(f"{margin} {', '.join(f'{letter} {side}' for side, letter in letters.items())}")
    return lines


def _letters(sides: Mapping[str, object]) -> dict[str, str]:
    taken: dict[str, str] = {}
    for side in sides:
        free = (c for c in side + "abcdefghijklmnopqrstuvwxyz*" if c not in taken.values())
        taken[side] = next(free)
    return taken
