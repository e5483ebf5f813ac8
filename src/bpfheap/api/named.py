"""What a file has, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from bpfheap.errors import among

_T = TypeVar("_T")


class Named(dict[str, _T]):
    """A dictionary that tells who asks for another name what there is; `what` is for people, as in
    "map"."""

    def __init__(self, what: str, found: Mapping[str, _T] = {}) -> None:
        super().__init__(found)
        self._what = what

    def __missing__(self, name: object) -> _T:
        raise KeyError(f"there is no {self._what} {name} ({among(self, str(name))})")
