"""What the verifier knows behind each source line of a program, over all paths.

Of each visit of a line those registers and stack slots are told that it changed and that the rest
of the function reads (see liveness). Visits of several paths are put beside each other; a path that
ends where a stored state subsumes it is told up to there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bpfheap.isa import Kind, Uses
from bpfheap.spec import ObjectSpec, ProgramSpec, SourceLine
from bpfheap.verifier.analysis.cfg import CALLS, Cfg
from bpfheap.verifier.analysis.liveness import FIRST_SLOT, live_at
from bpfheap.verifier.explain.log import instruction
from bpfheap.verifier.explain.path import enters, leaves
from bpfheap.verifier.explain.words import register_words, slot_words
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import FP, SLOT_MASK, UNINIT, Reg, Slot, State
from bpfheap.verifier.verdict import Options

#: As many alternatives of one register are told; others are counted.
_MAX_TOLD = 3
#: As many different ones are kept apart while they are counted.
_MAX_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class Known:
    """What is known behind one line, or, where the program has no lines, one instruction.

    `insn`: the first slot of the line.
    `line`: the line, None where there is none.
    `text`: the line's, or the instruction.
    `values`: by register ("r1") or stack slot ("fp-8"), in words: at most three alternatives, in
    the order in which paths met them, and how many more there are.
    """

    insn: int
    line: SourceLine | None
    text: str
    values: dict[str, tuple[tuple[str, ...], int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "file": None if self.line is None else self.line.file,
            "line": None if self.line is None else self.line.line,
            "insn": self.insn,
            "text": self.text,
            "knows": {name: list(told) for name, (told, _) in self.values.items()},
            "more": {name: more for name, (_, more) in self.values.items() if more},
        }


class _Snapshot(NamedTuple):
    """A frame's registers and stack when a visit of a line began."""

    regs: tuple[Reg, ...]
    stack: dict[int, Slot]


class Observer:
    """Is called before each instruction.

    `_bases`: by slot, the snapshot of the line's beginning on the last path that came by.
    `_found`: by line, what was told of each register and slot so far.
    `_last`: the last visit, of which nothing behind it was told yet.
    """

    def __init__(self, obj: ObjectSpec, spec: ProgramSpec) -> None:
        """Raises Reject and InsnError for what is no program."""
        self._spec = spec
        env = Env(obj, spec, Options())
        try:
            env.prepare()
            self._cfg = env.cfg
        except Reject:
            # Nothing is walked then.
            self._cfg = Cfg(spec)
        self._live = live_at(self._cfg, spec, obj.maps)
        self._lines = [self._key(slot) for slot in range(len(spec.insns))]
        self._bases: dict[int, _Snapshot] = {}
        self._found: dict[tuple[object, ...], dict[str, dict[str, None]]] = {}
        self._last: tuple[int, State] | None = None

    def _key(self, slot: int) -> tuple[object, ...]:
        line = self._spec.line_of(slot)
        return (slot,) if line is None else (line.file, line.line)

    def observe(self, slot: int, st: State) -> None:
        before = _slot_before(st)
        here = self._lines[slot]
        self._last = (slot, st)
        base: _Snapshot | None = None
        if before is None or enters(self._cfg, self._cfg.at(before), slot):
            self._entered(slot, st)
        else:
            source = self._returned(before, slot)
            base = self._bases.get(source)
            if base is not None and (self._lines[source] != here or slot <= source):
                self._changed(self._lines[source], base, st, self._live[slot])
                base = None
        if base is None:
            base = _Snapshot(tuple(st.regs), dict(st.top.stack))
        self._bases[slot] = base
        if self._cfg.at(slot).kind is Kind.EXIT:
            self._changed(here, base, st, 1)

    def _returned(self, before: int, slot: int) -> int:
        """The slot whose visit goes on: the call's own, if a function has returned."""
        if not leaves(self._cfg, self._cfg.at(before), slot):
            return before
        row = self._cfg.at(slot).row
        return slot if row is not None and row.callback else slot - 1

    def _entered(self, slot: int, st: State) -> None:
        """What a function is given."""
        told = self._told(self._lines[slot])
        for n in range(1, 6):
            if self._live[slot] >> n & 1 and st.regs[n].kind != UNINIT:
                _add(told, f"r{n}", register_words(st.regs[n]))

    def _changed(self, line: tuple[object, ...], base: _Snapshot, st: State, live: int) -> None:
        told = self._told(line)
        for n in range(FP):
            reg = st.regs[n]
            if reg is not base.regs[n] and live >> n & 1 and reg.kind != UNINIT:
                _add(told, f"r{n}", register_words(reg))
        for at, slot in sorted(st.top.stack.items(), reverse=True):
            if base.stack.get(at) is not slot and live >> (FIRST_SLOT - 1 - at) & 1:
                _add(told, f"fp{at * 8}", slot_words(slot))

    def _told(self, line: tuple[object, ...]) -> dict[str, dict[str, None]]:
        return self._found.setdefault(line, {})

    def stop(self) -> None:
        """The last instruction was refused: what it uses is told, whether the line changed it or
        not."""
        if self._last is None:
            return
        slot, st = self._last
        told = self._told(self._lines[slot])
        step = self._cfg.at(slot)
        used: tuple[int, ...] = (step.dst, step.src) if step.with_reg else (step.dst,)
        if step.kind in CALLS:
            used = (1, 2, 3, 4, 5)
        elif step.kind in (Kind.LOAD, Kind.MOV):
            used = (step.src,) if step.kind is Kind.LOAD or step.with_reg else ()
        elif step.kind is Kind.LEGACY:
            used = (6, step.src) if Uses.SRC in step.op.uses else (6,)
        elif step.kind is Kind.EXIT:
            used = (0,)
        elif step.kind in (Kind.LDDW, Kind.JA):
            used = ()
        for n in used:
            reg = st.regs[n]
            if n != FP and (reg.kind != UNINIT or reg.what is not None):
                _add(told, f"r{n}", register_words(reg))

    def known(self) -> tuple[Known, ...]:
        found: dict[tuple[object, ...], Known] = {}
        for slot, key in enumerate(self._lines):
            if self._cfg.steps[slot] is None or key in found:
                continue
            line = self._spec.line_of(slot)
            text = instruction(self._spec, self._cfg.at(slot)) if line is None else line.text
            values = {
                name: (tuple(words)[:_MAX_TOLD], max(0, len(words) - _MAX_TOLD))
                for name, words in sorted(self._found.get(key, {}).items(), key=_order)
            }
            found[key] = Known(slot, line, text, values)
        return tuple(found.values())


def _slot_before(st: State) -> int | None:
    """The instruction that led here, None at a function's beginning."""
    if st.trail.entries:
        return st.trail.entries[-1] & SLOT_MASK
    stored = st.parent
    if stored is None or not stored.trail.entries:
        return None
    return stored.trail.entries[-1] & SLOT_MASK


def _add(told: dict[str, dict[str, None]], name: str, words: str) -> None:
    alternatives = told.setdefault(name, {})
    if len(alternatives) < _MAX_KEPT:
        alternatives[words] = None


def _order(item: tuple[str, object]) -> tuple[bool, int]:
    """Registers by number, then the stack from the frame pointer down."""
    name = item[0]
    return name.startswith("fp"), int(name[1:]) if name[0] == "r" else -int(name[2:])
