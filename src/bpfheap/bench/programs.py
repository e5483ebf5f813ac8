"""The corpus: sources of BPF objects that come with the package, and the programs in them."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from bpfheap.compile import object_spec
from bpfheap.errors import BpfheapError
from bpfheap.spec import ObjectSpec, ProgramSpec

FOLDER: Final = Path(__file__).with_name("corpus")
_SUFFIX: Final = ".bpf.c"


class Group(StrEnum):
    """What a source is there for; all but those of CORPUS say so in front of their names.

    Verifiers look at 10 to 20,000 instructions of a program of CORPUS, at 20,000 to 150,000 of one
    of LARGE, most of them in loops, and MILLION has more than they are willing to look at.
    """

    CORPUS = "corpus"
    LARGE = "large"
    MILLION = "million"


class Source(NamedTuple):
    """`name` is the file's without what all of them end in."""

    path: Path
    group: Group

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(_SUFFIX)


class Program(NamedTuple):
    """A program, and the object that has it."""

    source: Source
    obj: ObjectSpec
    spec: ProgramSpec


class Unreadable(NamedTuple):
    """A source of which there is no object, and why."""

    source: Source
    error: BpfheapError


def sources(folder: Path = FOLDER) -> tuple[Source, ...]:
    """All sources, by name."""
    return tuple(Source(path, _group(path.name)) for path in sorted(folder.glob(f"*{_SUFFIX}")))


def programs(source: Source) -> Iterator[Program | Unreadable]:
    """The programs of a source, compiled here and now."""
    try:
        obj = object_spec(source.path)
    except BpfheapError as error:
        yield Unreadable(source, error)
        return
    for spec in obj.programs.values():
        yield Program(source, obj, spec)


def _group(name: str) -> Group:
    first = name.removesuffix(_SUFFIX).partition("_")[0]
    return Group(first) if first in (Group.LARGE, Group.MILLION) else Group.CORPUS
