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
#: Written from a kernel's BTF, so that there is none where there is no such BTF.
_VMLINUX: Final = '#include "vmlinux.h"'


class Group(StrEnum):
    """What a source is there for. The names of LARGE and MILLION sources begin with that word.

    A verifier processes 10 to 20,000 instructions of a CORPUS program, 20,000 to 150,000 of a LARGE
    one, mostly in loops. A MILLION program exceeds the limit of 1,000,000 instructions.
    """

    CORPUS = "corpus"
    LARGE = "large"
    MILLION = "million"


class CorpusSource(NamedTuple):
    """A C file of the corpus; `name` is the file's name without ".bpf.c"."""

    path: Path
    group: Group

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(_SUFFIX)

    @property
    def needs_kernel(self) -> bool:
        """Does it ask for the types of a kernel to be compiled at all?"""
        return _VMLINUX in self.path.read_text().splitlines()


class BenchProgram(NamedTuple):
    """A program of the corpus, and the object file that it is in."""

    source: CorpusSource
    obj: ObjectSpec
    spec: ProgramSpec


class UncompiledSource(NamedTuple):
    """A source that did not compile, and the error."""

    source: CorpusSource
    error: BpfheapError


def sources(folder: Path = FOLDER) -> tuple[CorpusSource, ...]:
    """All sources, by name."""
    return tuple(
        CorpusSource(path, _group(path.name)) for path in sorted(folder.glob(f"*{_SUFFIX}"))
    )


def programs(source: CorpusSource) -> Iterator[BenchProgram | UncompiledSource]:
    """Compile a source and give its programs."""
    try:
        obj = object_spec(source.path)
    except BpfheapError as error:
        yield UncompiledSource(source, error)
        return
    for spec in obj.programs.values():
        yield BenchProgram(source, obj, spec)


def _group(name: str) -> Group:
    first = name.removesuffix(_SUFFIX).partition("_")[0]
    return Group(first) if first in (Group.LARGE, Group.MILLION) else Group.CORPUS
