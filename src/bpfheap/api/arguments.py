"""What users give, as what the layers below take. Each function raises UsageError for anything
else; `what` is for people, as in "the budget"."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from operator import index
from typing import Any

from bpfheap.errors import UsageError

_LONGEST = 80


def whole(value: Any, what: str, low: int = 0, high: int = (1 << 63) - 1) -> int:
    """A whole number, not below `low` nor above `high`."""
    try:
        number = index(value)
    except TypeError:
        raise UsageError(f"{what} is a whole number, not {shown(value)}") from None
    if not low <= number <= high:
        raise UsageError(f"{what} cannot be {shown(number)}", hint=f"{low} to {high}")
    return number


def octets(value: Any, what: str) -> bytes:
    """The bytes of a buffer."""
    # Each run comes here; most are given bytes.
    if type(value) is bytes:
        return value
    try:
        return bytes(buffer(value, what))
    except ValueError:
        raise UsageError(f"{what} is gone: its memory was released") from None


def buffer(value: Any, what: str) -> memoryview:
    """A buffer, in place."""
    try:
        return memoryview(value)
    except (TypeError, ValueError):
        raise UsageError(
            f"{what} is given as bytes, not as {shown(value)}", hint="struct.pack makes them"
        ) from None


def one_of(value: Any, what: str, choices: Iterable[Hashable]) -> Any:
    """One of some values."""
    known = tuple(choices)
    if not isinstance(value, Hashable) or value not in known:
        raise UsageError(
            f"there is no {what} {shown(value)}", hint=f"one of {', '.join(map(str, known))}"
        )
    return value


def shown(value: Any) -> str:
    """For a message of one line."""
    text = value if isinstance(value, str) and value.isprintable() and value else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
