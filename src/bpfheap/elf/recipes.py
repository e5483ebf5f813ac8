"""Relocation recipes of the BPF ABI, one row each (Linux, Documentation/bpf/llvm_reloc.rst).

S is the symbol's value, A the addend, which BPF keeps in place (REL sections).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bpfheap.elf.container import Reloc, Section
from bpfheap.errors import RelocationError
from bpfheap.isa import CALL_OPCODE, LDDW_OPCODE


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one type of relocation is applied."""

    name: str
    number: int
    #: Bytes of the word that it changes in data; 0 for one that is for instructions alone.
    word: int
    #: The opcode of the instruction that it is for; None for one that is for data alone.
    opcode: int | None = None


RECIPES: tuple[Recipe, ...] = (
    # Both immediates of lddw: S + A. Before LLVM 13 pointers in data have it, too.
    Recipe("R_BPF_64_64", 1, 8, LDDW_OPCODE),
    Recipe("R_BPF_64_ABS64", 2, 8),  # S + A
    Recipe("R_BPF_64_ABS32", 3, 4),  # S + A
    Recipe("R_BPF_64_NODYLD32", 4, 4),  # S + A; only .BTF and .BTF.ext have them
    Recipe("R_BPF_64_32", 10, 0, CALL_OPCODE),  # immediate of call: (S + A) / 8 - 1
)

_BY_NUMBER = {r.number: r for r in RECIPES}
_WORDS = {4: struct.Struct("<I"), 8: struct.Struct("<Q")}


def recipe_of(reloc: Reloc, section: Section, file: str) -> Recipe:
    """The recipe of a relocation. Raises RelocationError for a type that the ABI does not have."""
    recipe = _BY_NUMBER.get(reloc.type)
    if recipe is None:
        raise RelocationError(
            f"unknown relocation {reloc.type} at byte {reloc.offset} of section {section.name}",
            file=file,
            hint="known are " + ", ".join(f"{r.name} ({r.number})" for r in RECIPES),
        )
    return recipe


def relocate_data(section: Section, relocs: tuple[Reloc, ...], file: str) -> bytes:
    """The section's bytes with S + A filled in. Undefined symbols count as 0, as in ELF: what they
    stand for is not known before load.

    Raises RelocationError for a recipe that is not for data, or one that reaches past the end.
    """
    data = bytearray(section.data)
    for reloc in relocs:
        recipe = recipe_of(reloc, section, file)
        word = _WORDS.get(recipe.word)
        if word is None:
            raise RelocationError(
                f"{recipe.name} at byte {reloc.offset} of section {section.name}, "
                "which has no code",
                file=file,
            )
        if reloc.offset + recipe.word > len(data):
            raise RelocationError(
                f"{recipe.name} at byte {reloc.offset} reaches past the end of section "
                f"{section.name} ({len(data)} bytes)",
                file=file,
            )
        (addend,) = word.unpack_from(data, reloc.offset)
        mask = (1 << (8 * recipe.word)) - 1
        word.pack_into(data, reloc.offset, (reloc.symbol.value + addend) & mask)
    return bytes(data)
