"""Numbers that cannot be, in the log of Linux's verifier.

Where the range of a number and the bits that are known of it exclude each other behind a condition,
no number takes that way. Linux does not look for it (reg_bounds_sync intersects the two) and walks
on with a number that is in neither.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final, NamedTuple

#: Its section in docs/verifier-differences.md.
SECTION: Final = "Branches that no number takes"

#: Linux says it itself, and goes on with a number of which it knows nothing
#: (reg_bounds_sanity_check).
_VIOLATION: Final = "REG INVARIANTS VIOLATION"
_U64: Final = (1 << 64) - 1
_SIGN: Final = 1 << 63
_REGISTER: Final = re.compile(r"\bR(\d+)=(scalar\([^()]*(?:\([^()]*\)[^()]*)*\)|[^ ]+)")
_FRAME: Final = re.compile(r"\bframe(\d+): ")
_INSN: Final = re.compile(r"^(\d+): \(\w\w\) ")
_CONDITION: Final = re.compile(r"^\d+: \(\w\w\) if ([rw])(\d+) (==|!=|s?[<>]=?|&) (-?\w+) goto ")
_CONDITIONS: Final[Mapping[str, Callable[[int, int], object]]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge, "&": operator.and_,
}  # fmt: skip


class _Number(NamedTuple):
    """What the log says of a number: its ranges, and its bits as value and mask."""

    umin: int = 0
    umax: int = _U64
    smin: int = -_SIGN
    smax: int = _SIGN - 1
    v: int = 0
    m: int = _U64

    def contains(self, x: int) -> bool:
        signed = _signed(x)
        inside = self.umin <= x <= self.umax and self.smin <= signed <= self.smax
        return inside and (x ^ self.v) & ~self.m & _U64 == 0

    @property
    def constant(self) -> int | None:
        return self.v if self.m == 0 else None


def has_impossible_number(log: str) -> bool:
    """Does a register, behind a condition, hold a constant that it could not have held before, or,
    on the way on from there, of which the condition is true? Or does the log say that no number
    is in its range?"""
    if _VIOLATION in log:
        return True
    known: dict[tuple[str, str], _Number | None] = {}
    lines = log.splitlines()
    for line, after in pairwise([*lines, ""]):
        said = _said(line)
        condition = _CONDITION.match(line)
        if condition is not None:
            # It says the same where it knows that the jump is taken.
            goes_on = _slot(after) == _slot(line) + 1
            for at, number in said.items():
                constant = None if number is None else number.constant
                if constant is None:
                    continue
                before = known.get(at)
                if before is not None and not before.contains(constant):
                    return True
                if goes_on and at[1] == condition[2] and _holds(condition, constant):
                    return True
        if _INSN.match(line) is None:
            # The whole state of a path, or of a function that is entered or left.
            known.clear()
        known |= said
    return False


def _slot(line: str) -> int:
    found = _INSN.match(line)
    return -2 if found is None else int(found[1])


def _said(line: str) -> dict[tuple[str, str], _Number | None]:
    """By frame and register; None for pointers."""
    frame = _FRAME.search(line)
    where = "0" if frame is None else frame[1]
    return {(where, register): _number(text) for register, text in _REGISTER.findall(line)}


def _number(text: str) -> _Number | None:
    """None for what is no number."""
    if not text.startswith("scalar("):
        try:
            value = int(text, 0)
        except ValueError:
            return None
        return _Number(v=value & _U64, m=0)
    bits = re.search(r"var_off=\((\w+); (\w+)\)", text)
    v, m = (0, _U64) if bits is None else (int(bits[1], 16), int(bits[2], 16))
    ends: dict[str, int] = {}
    for names, value in re.findall(r"((?:\w+=)+)(-?\w+)", text):
        if re.fullmatch(r"-?(0x[0-9a-f]+|\d+)", value):
            ends |= dict.fromkeys(names.rstrip("=").split("="), int(value, 0))
    return _Number(
        ends.get("umin", 0),
        ends.get("umax", _U64),
        _signed(ends.get("smin", -_SIGN)),
        _signed(ends.get("smax", _SIGN - 1)),
        v,
        m,
    )


def _signed(x: int) -> int:
    """Linux writes large negative numbers as unsigned ones."""
    return x - (1 << 64) if x >= _SIGN else x


def _holds(condition: re.Match[str], constant: int) -> bool:
    """Is a condition on a constant true? Of two registers nobody knows."""
    width, _, sign, operand = condition.groups()
    try:
        other = int(operand, 0)
    except ValueError:
        return False
    bits = 32 if width == "w" else 64
    a, b = constant & (1 << bits) - 1, other & (1 << bits) - 1
    if sign.startswith("s"):
        a, b = a - (a >> bits - 1 << bits), b - (b >> bits - 1 << bits)
    return bool(_CONDITIONS[sign.removeprefix("s")](a, b))
