"""The corpus: programs each of which takes an arc of the verifier that none before it takes. Those
that come with the package are files of `seeds/`, as fuzz/blocks.py writes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Final

from bpfheap.errors import UsageError
from bpfheap.fuzz.arcs import Arc
from bpfheap.fuzz.blocks import program_of, text_of
from bpfheap.fuzz.grammars import aimed_program
from bpfheap.fuzz.mutate import mutated, spliced
from bpfheap.fuzz.pieces import RandomProgram
from bpfheap.fuzz.surroundings import linked, surroundings
from bpfheap.spec import RefKind

#: How the name of a file ends that holds a program.
_ENDING: Final = ".s"
#: The share of programs that come from grammars anew.
_NEW: Final = 0.25
#: Of those that do not, how often something of another program is put in.
_SPLICED: Final = 0.5
#: How many mutations these get, at most.
_MUTATIONS: Final = 4


def stored_seeds() -> list[str]:
    """The texts of those that come with the package."""
    folder = files("bpfheap.fuzz") / "seeds"
    found = {entry.name: entry.read_text() for entry in folder.iterdir()}
    return [found[name] for name in sorted(found) if name.endswith(_ENDING)]


def read_seeds(folder: Path) -> list[str]:
    """The texts in a folder, none if there is no such folder. Raises UsageError for one that holds
    no program."""
    found = []
    for path in sorted(folder.glob(f"*{_ENDING}")):
        try:
            text = path.read_text()
            program_of(text)
        except (OSError, UnicodeError, UsageError) as error:
            raise UsageError(f"{path} holds no program: {error}") from None
        found.append(text)
    return found


def write_seed(folder: Path, text: str) -> Path:
    """Put a program into a folder, by a name that follows from the text. Raises UsageError."""
    path = folder / f"{sha256(text.encode()).hexdigest()[:12]}{_ENDING}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise UsageError(
            f"nothing can be written to {folder}: {error.strerror}", hint="name another folder"
        ) from None
    return path


def does_with(program: RandomProgram, features: frozenset[str]) -> bool:
    """Does the program use no map that the features do not have?"""
    maps = surroundings(features).maps
    refs = linked(program).refs.values()
    return all(ref.name in maps for ref in refs if ref.kind is RefKind.MAP)


@dataclass(slots=True)
class Corpus:
    """Grows by programs that take new arcs.

    `seen`: the arcs of all programs that were added, kept or not.
    """

    programs: list[RandomProgram] = field(default_factory=list)
    seen: set[Arc] = field(default_factory=set)

    def add(self, program: RandomProgram, arcs: Iterable[Arc]) -> frozenset[Arc]:
        """Keep the program if it takes arcs that were not taken before; these."""
        new = frozenset(arcs) - self.seen
        if new:
            self.seen |= new
            self.programs.append(program)
        return new

    def candidate(
        self, seed: int, index: int, features: frozenset[str], names: str = "all"
    ) -> RandomProgram:
        """A program out of those that are kept, or a new one of a grammar."""
        rng = Random(f"guided:{seed}:{index}")
        if not self.programs or rng.random() < _NEW:
            return aimed_program(seed, index, features, names)
        made = rng.choice(self.programs)
        if rng.random() < _SPLICED:
            made = spliced(rng, made, rng.choice(self.programs))
        for _ in range(rng.randint(1, _MUTATIONS)):
            made = mutated(rng, made)
        # What is written and read again is the same program, whose pieces are those of its text.
        return program_of(text_of(made))


@cache
def _stored(features: frozenset[str]) -> Corpus:
    programs = (program_of(text) for text in stored_seeds())
    return Corpus([program for program in programs if does_with(program, features)])


def seeded_program(seed: int, index: int, features: frozenset[str]) -> RandomProgram:
    """Program number `index` of a seed, out of the seeds that come with the package."""
    return _stored(features).candidate(seed, index, features)
