"""The lives of objects, as sentences.

A life is a chain of sentences, newest first, so that copies of a state share it.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import NamedTuple, Optional, TypeAlias

from bpfheap.runtime.machine import Sentence
from bpfheap.spec import SourceLine


class Chapter(NamedTuple):
    """The last sentence of a life, and the life before it."""

    before: Life
    sentence: str


Life: TypeAlias = Optional[Chapter]  # noqa: UP045 -- refers to itself before it exists


class Place(NamedTuple):
    """Who acts, and from which line: a program, or user space ("user space", no line). As text,
    the line has the file's name without its folder."""

    who: str
    line: SourceLine | None = None

    def __str__(self) -> str:
        if self.line is None:
            return self.who
        return f"{self.who} at {PurePath(self.line.file).name}:{self.line.line}"


USER_SPACE = Place("user space")


def add(life: Life, sentence: str) -> Life:
    return Chapter(life, sentence)


def tell(life: Life) -> tuple[str, ...]:
    """The sentences, oldest first."""
    told: list[str] = []
    while life is not None:
        told.append(life.sentence)
        life = life.before
    return tuple(reversed(told))


def allocated(name: str, allocator: str, place: Place) -> str:
    return Sentence(f"{name} was allocated from {allocator} by {place}", place.line)


def stored(name: str, field: str, place: Place) -> str:
    return Sentence(f"{name} was stored into {field} by {place}", place.line)


def shared(name: str, place: Place) -> str:
    return Sentence(f"{name} got one more owner by {place}", place.line)


def taken(name: str, field: str, place: Place) -> str:
    return Sentence(f"{name} was taken from {field} by {place}", place.line)


def freed(name: str, place: Place) -> str:
    return Sentence(f"{name} was freed by {place}", place.line)


def kept(name: str, left: int, instead: str) -> str:
    """A counted object lost one owner. `instead` is what the life would say if it had been the
    last; its line is where that happened."""
    references = f"{left} reference{'s' if left != 1 else ''}"
    line = getattr(instead, "line", None)
    return Sentence(f"{name} was given up once, {references} left", line)


def destroyed(allocator: str, why: str) -> str:
    return f"allocator {allocator} was destroyed: {why}"
