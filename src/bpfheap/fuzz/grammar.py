"""Grammars: what programs are made of that aim at one thing which verifiers get wrong.

A grammar has rules, each with alternatives; an alternative is text as fuzz/blocks.py reads it, in
which `<rule>` stands for one of that rule's alternatives and `<rule 6>` for one with an argument,
which is `$1` there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Final

from bpfheap.fuzz.blocks import program_of
from bpfheap.fuzz.pieces import RandomProgram
from bpfheap.fuzz.rules import COMMON, ROOM

#: Bounds that a program may have; each leaves room for 8 bytes behind it.
_BOUNDS: Final = (0, 1, 3, 7, 7, 15, 31)
#: Once a program has so many lines, the first alternative of each rule is taken, which ends soon.
_LINES: Final = 70
_RULE: Final = re.compile(r"<([a-z_]+)((?: [^<>]+)?)>")
_NAME: Final = re.compile(r"\$([a-z0-9]+)")
#: Registers that hold numbers, in all grammars: what `$a`, `$b` and `$c` are, in some order.
_NUMBERS: Final = ("6", "7", "8")


@dataclass(frozen=True)
class Grammar:
    """Programs that aim at one thing.

    `name`, `about`: as `--grammar` has it.
    `features`: of fuzz/surroundings.py, without which the grammar is not used.
    `rules`: by name; `start` is the whole program. The first alternative of each leads to an end
    without coming back to the rule. What is not here is one of fuzz/rules.py.
    """

    name: str
    about: str
    features: frozenset[str]
    rules: Mapping[str, tuple[str, ...]]

    @cached_property
    def all_rules(self) -> dict[str, tuple[str, ...]]:
        return {**COMMON, **self.rules}

    def text(self, rng: Random) -> str:
        """A random program, as text."""
        bound = rng.choice(_BOUNDS)
        names = {"k": str(bound), "beyond": str(bound + 1)}
        # Where an access of so many bytes is at the end of the memory, if the offset is the bound.
        names |= {f"e{size}": str(ROOM - bound - size) for size in (0, 1, 2, 4, 8)}
        return "\n".join(_Derivation(self, rng, names).lines("start", ()))

    def program(self, rng: Random) -> RandomProgram:
        return program_of(self.text(rng))


class _Derivation:
    """Makes the text of one program."""

    def __init__(self, grammar: Grammar, rng: Random, names: Mapping[str, str]) -> None:
        self._rules = grammar.all_rules
        self._rng = rng
        self._names = names
        self._written = 0

    def lines(self, rule: str, arguments: tuple[str, ...]) -> list[str]:
        """One of the rule's alternatives, all that is in it put in its place. What a rule leaves is
        apart from what is around it, so that mutations can take it out."""
        done: list[str] = []
        for line in self._chosen(rule, arguments).splitlines():
            whole = _RULE.fullmatch(line)
            if whole is None:
                self._written += 1
                done.append(self._inline(line))
            else:
                done += ["", *self.lines(whole[1], tuple(whole[2].split())), ""]
        return done

    def _chosen(self, rule: str, arguments: tuple[str, ...]) -> str:
        choices = self._rules[rule]
        text = choices[0] if self._written > _LINES else self._rng.choice(choices)
        a, b, c = self._rng.sample(_NUMBERS, 3)
        names = {**self._names, "a": a, "b": b, "c": c}
        names |= {str(at): value for at, value in enumerate(arguments, 1)}
        return _NAME.sub(lambda match: names[match[1]], text)

    def _inline(self, line: str) -> str:
        """A line with the rules in it, which are of one line each."""
        while (match := _RULE.search(line)) is not None:
            text = self._chosen(match[1], tuple(match[2].split()))
            line = line[: match.start()] + text + line[match.end() :]
        return line
