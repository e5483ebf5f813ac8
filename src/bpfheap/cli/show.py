"""What `bpfheap run --show` tells of a map after the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

import bpfheap
from bpfheap.errors import UsageError
from bpfheap.platform.maps import BY_NUMBER, Holds

Shown = Annotated[
    list[str] | None,
    typer.Option(
        "--show",
        metavar="MAP[=TYPE]",
        help="Show what is in this map after the run, of an array what is not 0; of a ring buffer "
        "or perf events the records, as values of a type such as 'struct event'. May be repeated.",
        show_default=False,
    ),
]


def contents(maps: Mapping[str, bpfheap.Map], wanted: list[str]) -> dict[str, list[Any]]:
    """By the map's name its records, or its elements as pairs of key and value. Raises UsageError
    for a map or type that is not there."""
    found = {}
    for one in wanted:
        name, _, type_name = one.partition("=")
        if name not in maps:
            raise UsageError(
                f"there is no map {name} to be shown", hint=f"there is {', '.join(maps) or 'none'}"
            )
        shown = maps[name]
        row = BY_NUMBER[shown.spec.type]
        if row.holds in (Holds.RECORDS, Holds.EVENTS):
            found[name] = shown.records(type_name)
        elif type_name:
            raise UsageError(f"map {name} has a type of its own", hint=f"--show {name}")
        elif "push" in row.ops:
            raise UsageError(f"map {name} has no keys by which it could be shown")
        else:
            pairs = list(shown.items())
            found[name] = [p for p in pairs if _is_set(p[1])] if row.fixed else pairs
    return found


def lines(found: Mapping[str, list[Any]]) -> list[str]:
    """For people."""
    said = []
    for name, values in found.items():
        said.append(f"{name}:" if values else f"{name}: nothing")
        for value in values:
            pair = isinstance(value, tuple)
            text = f"{value[0]}: {value[1]}" if pair else str(value)
            said.append(f"    {text}")
    return said


def plain_values(value: Any) -> Any:
    """For JSON. Bytes are texts; what is none of UTF-8 is written as in Python."""
    if isinstance(value, tuple):
        return {"key": plain_values(value[0]), "value": plain_values(value[1])}
    if isinstance(value, Mapping):
        return {str(name): plain_values(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain_values(one) for one in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _is_set(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_is_set, value.values()))
    if isinstance(value, list | bytes):
        return any(map(_is_set, value))
    return bool(value)
