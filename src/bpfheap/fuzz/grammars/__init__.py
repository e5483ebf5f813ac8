"""The grammars, one file each; a new one is a file and its line here."""

from __future__ import annotations

from random import Random
from typing import Final

from bpfheap.errors import UsageError
from bpfheap.fuzz.grammar import Grammar
from bpfheap.fuzz.grammars import (
    addresses,
    callbacks,
    compared,
    functions,
    iterators,
    joined,
    linked,
    locks,
    loops,
    nulls,
    packets,
    pointers,
    references,
    spilled,
    widths,
)
from bpfheap.fuzz.mutate import mutated
from bpfheap.fuzz.pieces import RandomProgram

GRAMMARS: Final[dict[str, Grammar]] = {
    module.GRAMMAR.name: module.GRAMMAR
    for module in (
        joined, spilled, linked, compared, widths, pointers, packets, nulls, callbacks, iterators,
        loops, references, locks, functions, addresses,
    )
}  # fmt: skip
#: Of 100 programs, how many get 0, 1 and 2 mutations.
_MUTATIONS: Final = (70, 20, 10)


def fitting(names: str, features: frozenset[str]) -> tuple[Grammar, ...]:
    """Those of "joined,spilled" or "all" that do with the features. Raises UsageError for a name
    that there is not, or if none is left."""
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    if names == "all":
        chosen = list(GRAMMARS)
    for name in chosen:
        if name not in GRAMMARS:
            raise UsageError(
                f"there is no grammar {name}", hint=f"all, or some of {', '.join(GRAMMARS)}"
            )
    found = tuple(GRAMMARS[name] for name in chosen if GRAMMARS[name].features <= features)
    if not found:
        raise UsageError(
            f"grammar {names} needs features that are left out", hint="leave out --features"
        )
    return found


def aimed_program(
    seed: int, index: int, features: frozenset[str], names: str = "all"
) -> RandomProgram:
    """Program number `index` of a seed, out of one of the grammars that fit."""
    grammars = fitting(names, features)
    rng = Random(f"{seed}:{index}:{names}:{','.join(sorted(features))}")
    made = rng.choice(grammars).program(rng)
    for _ in range(rng.choices(range(len(_MUTATIONS)), _MUTATIONS)[0]):
        made = mutated(rng, made)
    return made
