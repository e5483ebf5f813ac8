"""Themes: a frame of a program and the few instructions that its middle is made of, so few that all
programs up to some length can be made, up to renaming of registers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Final, NamedTuple

from bpfheap.errors import UsageError
from bpfheap.fuzz.surroundings import function_id, surroundings, types
from bpfheap.isa import Insn, assemble
from bpfheap.platform.calls import HELPER_NUMBERS
from bpfheap.spec import ObjectSpec, ProgramSpec, Ref, RefKind, SubprogSpec

#: Where the enumerated instructions are in the text of a theme, and the one of `last`.
BODY: Final = "BODY"
LAST: Final = "LAST"

#: Where a jump of the alphabet leads: to each place behind it, or out of the program.
_ANYWHERE: Final = "goto ?"
_OUT: Final = "goto out"
#: What names of functions begin with; each begins at the label of its name.
_STATIC, _GLOBAL = "f", "g"


class Letter(NamedTuple):
    """One element of an alphabet: an instruction, or a few that belong together.

    `insns`, `refs`: its slots, and what they refer to by index.
    `calls`: the functions that slots call, by index.
    `leaves`: does its last slot jump to the label `out`?
    `jumps`: is it a jump to some place behind it?
    `registers`: the places in Theme.registers of those it has, in the order in which they occur.
    """

    text: str
    insns: tuple[Insn, ...]
    refs: tuple[tuple[int, Ref], ...]
    calls: tuple[tuple[int, str], ...]
    leaves: bool
    jumps: bool
    registers: tuple[int, ...]

    def renamed(self, used: int) -> int | None:
        """How many registers are used after it, where the first `used` ones were; None if it has
        another one than the next: the same program with other names is made in its place."""
        for register in self.registers:
            if register > used:
                return None
            used = max(used, register + 1)
        return used


class _Frame(NamedTuple):
    """The program around the body, for a body of some size."""

    insns: tuple[Insn, ...]
    refs: dict[int, Ref]
    labels: dict[str, int]
    body: int
    subprogs: tuple[SubprogSpec, ...]


#: A letter and, if it jumps, before which letter of the body it leads to.
Placed = tuple[Letter, int]


@dataclass(frozen=True)
class Theme:
    """Programs about one thing.

    `name`, `about`: as `--exhaustive` has it.
    `features`: of fuzz/surroundings.py, for the maps.
    `text`: the frame, with a line BODY and perhaps a line LAST; `last`: what is there instead, one
    after the other: it makes a bad result matter.
    `alphabet`: what BODY is made of. `{a}` and `{b}` are any of `registers`, which must be alike
    when the body begins. `goto ?` leads to any place behind, `goto out` to the label of that name.
    `again`: is the body walked more than once, so that its beginning does not decide?
    `length`: how long bodies are by default.
    """

    name: str
    about: str
    features: frozenset[str]
    text: str
    alphabet: tuple[str, ...]
    registers: tuple[int, ...] = ()
    last: tuple[str, ...] = ()
    again: bool = False
    section: str = "tc"
    length: int = 3

    @cached_property
    def letters(self) -> tuple[Letter, ...]:
        return tuple(one for text in self.alphabet for one in self._letters(text))

    @cached_property
    def endings(self) -> tuple[Letter, ...]:
        """For LAST; one that is empty if the theme has none."""
        texts = self.last or ("",)
        return tuple(one for text in texts for one in self._letters(text))

    @cached_property
    def obj(self) -> ObjectSpec:
        return surroundings(self.features)

    @cached_property
    def _frames(self) -> dict[tuple[int, int], _Frame]:
        return {}

    def _letters(self, text: str) -> list[Letter]:
        names = [name for name in ("a", "b") if f"{{{name}}}" in text]
        names.sort(key=lambda name: text.index(f"{{{name}}}"))
        found = []
        for chosen in product(range(len(self.registers)), repeat=len(names)):
            if len(chosen) == 2 and chosen[0] == chosen[1]:
                continue
            numbers = {n: str(self.registers[i]) for n, i in zip(names, chosen, strict=True)}
            found.append(_letter(text.format_map(numbers), chosen))
        return found

    def program(self, body: tuple[Placed, ...], last: Letter) -> ProgramSpec:
        """The program with this body and this ending."""
        starts = [0]
        for letter, _ in body:
            starts.append(starts[-1] + len(letter.insns))
        frame = self._frame(starts[-1], last)
        insns = list(frame.insns)
        refs = dict(frame.refs)
        for (letter, target), start in zip(body, starts, strict=False):
            at = frame.body + start
            insns[at : at + len(letter.insns)] = letter.insns
            if letter.jumps:
                jump = at + len(letter.insns) - 1
                insns[jump] = insns[jump]._replace(off=frame.body + starts[target] - jump - 1)
            if letter.leaves:
                jump = at + len(letter.insns) - 1
                insns[jump] = insns[jump]._replace(off=frame.labels["out"] - jump - 1)
            refs.update((at + i, ref) for i, ref in letter.refs)
            for i, name in letter.calls:
                insns[at + i] = insns[at + i]._replace(imm=frame.labels[name] - at - i - 1)
        btf, _ = types()
        return ProgramSpec(
            frame.subprogs[0].name, self.section, tuple(insns), refs, frame.subprogs, {}, btf,
            "GPL", self.name,
        )  # fmt: skip

    def place_of(self, slot: int, body: tuple[Placed, ...], last: Letter) -> int | None:
        """The number of the letter that has a slot; None outside of the body."""
        sizes = [len(letter.insns) for letter, _ in body]
        at = self._frame(sum(sizes), last).body
        for number, size in enumerate(sizes):
            if at <= slot < at + size:
                return number
            at += size
        return None

    def _frame(self, size: int, last: Letter) -> _Frame:
        key = (size, id(last))
        found = self._frames.get(key)
        if found is None:
            found = self._frames[key] = self._assembled(size, last)
        return found

    def _assembled(self, size: int, last: Letter) -> _Frame:
        text = self.text.replace(f"{LAST}\n", f"{last.text}\n" if last.text else "")
        before, _, after = text.partition(f"{BODY}\n")
        done = assemble(
            before + "start.of.body:\n" + "r0 = 0\n" * size + after,
            helper_number=HELPER_NUMBERS.get,
        )
        refs = {
            slot: Ref(RefKind(ref.kind), ref.name, ref.offset, done.labels.get(ref.name, -1))
            for slot, ref in done.refs.items()
        }
        named = sorted(
            (slot, name) for name, slot in done.labels.items()
            if name[0] in (_STATIC, _GLOBAL) and name[1:].isdecimal()
        )  # fmt: skip
        starts = [(0, "fuzzed"), *named]
        ends = [*(slot for slot, _ in named), len(done.insns)]
        subprogs = tuple(
            SubprogSpec(name, start, end, function_id(name), name[0] == _GLOBAL)
            for (start, name), end in zip(starts, ends, strict=True)
        )
        return _Frame(done.insns, refs, done.labels, done.labels["start.of.body"], subprogs)


def _letter(text: str, registers: tuple[int, ...]) -> Letter:
    jumps = _ANYWHERE in text
    calls = []
    lines: list[str] = []
    for line in text.replace(_ANYWHERE, "goto pc+0").replace(_OUT, "goto pc+0").splitlines():
        word, _, callee = line.partition(" ")
        if word == "call" and callee[0] in (_STATIC, _GLOBAL) and callee[1:].isdecimal():
            calls.append((len(lines), callee))
            line = "call pc+0"
        lines.append(line)
    done = assemble("\n".join(lines), helper_number=HELPER_NUMBERS.get)
    if calls and len(done.insns) != len(lines):
        raise UsageError(f"{text!r}: a wide instruction stands beside a call of a function")
    refs = tuple(
        (slot, Ref(RefKind(ref.kind), ref.name, ref.offset)) for slot, ref in done.refs.items()
    )
    return Letter(text, done.insns, refs, tuple(calls), _OUT in text, jumps, registers)
