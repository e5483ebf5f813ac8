"""What functions read through the pointers that they are given, which may lead to the stack of who
calls them (bpf_stack_liveness, Linux 6.18, which learns it as it walks).

It is asked of static functions alone: of a global one Linux looks at all that arguments declare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from bpfheap.verifier.analysis.cfg import (
    ALU,
    ATOMIC,
    CALL,
    CALL_LOCAL,
    CALL_REG,
    CAST,
    END,
    LDDW,
    LEGACY,
    LOAD,
    MOV,
    NEG,
    STORE_IMM,
    STORE_REG,
    Step,
)

#: First and last byte, counted from the pointer.
Bytes = tuple[int, int]
#: What is read through one pointer; None for anything.
Reads = frozenset[Bytes] | None
#: Of r1 to r5.
Summary = tuple[Reads, Reads, Reads, Reads, Reads]

_ARGS: Final = range(1, 6)
#: An offset that is not known.
_SOMEWHERE: Final = 1 << 40
#: More offsets than that are any.
_PLACES: Final = 4
#: More ranges than that are anything.
_MANY: Final = 64

#: Pointers that a register, or a slot of the function's own stack, may hold: which argument each
#: comes from, and how far it is from that.
Pointers = frozenset[tuple[int, int]]
Known = dict[int, Pointers]
_NONE: Final[Pointers] = frozenset()


def either(a: Known, b: Known) -> Known:
    """Both may be the case."""
    if a is b or a == b:
        return a
    return {
        place: _widened(a.get(place, _NONE) | b.get(place, _NONE)) for place in a.keys() | b.keys()
    }


def _widened(held: Pointers) -> Pointers:
    """A pointer that may be at many offsets, as in a loop, may be at any: so that this ends."""
    if len(held) < _PLACES and all(at != _SOMEWHERE for _, at in held):
        return held
    found: set[tuple[int, int]] = set()
    for n in {n for n, _ in held}:
        offsets = [at for m, at in held if m == n]
        if _SOMEWHERE in offsets or len(offsets) > _PLACES:
            offsets = [_SOMEWHERE]
        found.update((n, at) for at in offsets)
    return frozenset(found)


class Given:
    """The summary of one function; of those it calls there is one already.

    `own`: the place of the slot of the function's own stack that a step accesses as a whole, None
    for a part or one of several, -1 for none: what it accesses is elsewhere. `hands_over`: may a
    function that is called there reach the own stack? `read_by`: how many bytes a helper or kfunc
    reads through an argument, None for so many as there are.
    """

    def __init__(
        self,
        summaries: dict[int, Summary],
        own: Callable[[Step], int | None],
        hands_over: Callable[[Step], bool],
        read_by: Callable[[Step, int], int | None],
        slots_from: int,
    ) -> None:
        self._summaries = summaries
        self._own = own
        self._hands_over = hands_over
        self._read_by = read_by
        self._slots_from = slots_from
        self._found: list[set[Bytes] | None] = [set() for _ in range(6)]

    def begin(self) -> Known:
        return {n: frozenset({(n, 0)}) for n in _ARGS}

    def summary(self) -> Summary:
        found: list[Reads] = [
            None if one is None or len(one) > _MANY else frozenset(one) for one in self._found
        ]
        return (found[1], found[2], found[3], found[4], found[5])

    def after(self, step: Step, before: Known) -> Known:
        """What is known after a step. Notes what it reads."""
        kind = step.shape.tag
        if kind == MOV and step.with_reg and step.width == 64 and not step.sx:
            return _set(before, step.dst, before.get(step.src, _NONE))
        if kind in (MOV, LDDW, CAST):
            return _set(before, step.dst, _NONE)
        if kind in (ALU, NEG, END):
            return self._computed(step, before)
        if kind == LOAD:
            self._read(before.get(step.src, _NONE), step.off, step.size)
            return _set(before, step.dst, self._filled(step, before))
        if kind in (STORE_IMM, STORE_REG):
            stored = before.get(step.src, _NONE) if kind == STORE_REG else _NONE
            return self._stored(step, before, stored)
        if kind == ATOMIC:
            self._read(before.get(step.dst, _NONE), step.off, step.size)
            fetched = step.writes
            after = self._stored(step, before, before.get(step.src, _NONE))
            if fetched is None:
                return after
            return _set(after, fetched, self._filled(step, before))
        if kind in (CALL, CALL_LOCAL, CALL_REG, LEGACY):
            self._called(step, before)
            return {place: held for place, held in before.items() if place >= 6}
        return before

    def _computed(self, step: Step, before: Known) -> Known:
        held = before.get(step.dst, _NONE)
        if step.with_reg:
            held |= before.get(step.src, _NONE)
        if not held:
            return before
        known = not step.with_reg and step.name == "add" and step.width == 64
        by = step.imm if known else _SOMEWHERE
        return _set(before, step.dst, frozenset((n, _moved(at, by)) for n, at in held))

    def _filled(self, step: Step, before: Known) -> Pointers:
        """What a load gives: of the own stack alone it may be such a pointer, as nobody stores one
        in that of a caller, nor reads one from elsewhere."""
        place = self._own(step)
        if place is None:
            return _all(held for at, held in before.items() if at >= self._slots_from)
        return before.get(place, _NONE)

    def _stored(self, step: Step, before: Known, stored: Pointers) -> Known:
        place = self._own(step)
        if place is None:
            # It may be anywhere on the stack now.
            self._escape(stored)
            return before
        return before if place < 0 else _set(before, place, stored)

    def _called(self, step: Step, before: Known) -> None:
        if self._hands_over(step):
            # Through the own stack the callee may reach what is stored there.
            self._escape(_all(held for at, held in before.items() if at >= self._slots_from))
        summary = self._summaries.get(step.target) if step.shape.tag == CALL_LOCAL else None
        for n in _ARGS:
            held = before.get(n, _NONE)
            if held:
                self._given_away(step, n, held, summary)

    def _given_away(self, step: Step, n: int, held: Pointers, summary: Summary | None) -> None:
        """Argument `n` of a call; the callee's `summary`, None for one that has none."""
        ranges = None if summary is None else summary[n - 1]
        if ranges is not None:
            for low, high in ranges:
                self._read(held, low, high - low + 1)
            return
        size = self._read_by(step, n) if step.shape.tag == CALL else None
        if size is None:
            self._escape(held)
        else:
            self._read(held, 0, size)

    def _read(self, held: Pointers, off: int, size: int) -> None:
        for n, at in held:
            found = self._found[n]
            if found is None:
                continue
            if at == _SOMEWHERE:
                self._found[n] = None
            elif size > 0:
                found.add((at + off, at + off + size - 1))

    def _escape(self, held: Pointers) -> None:
        for n, _ in held:
            self._found[n] = None


def _moved(at: int, by: int) -> int:
    return _SOMEWHERE if _SOMEWHERE in (at, by) else at + by


def _all(held: Iterable[Pointers]) -> Pointers:
    return _NONE.union(*held)


def _set(before: Known, place: int, held: Pointers) -> Known:
    if before.get(place, _NONE) == held:
        return before
    after = dict(before)
    if held:
        after[place] = held
    else:
        after.pop(place, None)
    return after
