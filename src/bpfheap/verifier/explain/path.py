"""The path that a walk took to where it stands: every instruction, and the states between them.

A state keeps the slots that led to it, not the states that it was before. Those are found again
by walking a piece of the path once more, from the stored state in front of it. That happens only
once a program is refused.
"""

from __future__ import annotations

from bisect import bisect_right

from bpfheap.isa import Kind
from bpfheap.spec import SourceLine
from bpfheap.verifier.analysis.cfg import CALLS, Cfg, Step
from bpfheap.verifier.instructions.transfer import transfer
from bpfheap.verifier.paths.env import Env
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import SLOT_MASK, State, Stored, Trail

#: As many instructions are looked at, from the end back.
_REACH = 20_000
#: A piece of the path is walked once more for at most this many instructions, wrong turns
#: included.
_MAX_REPLAYED = 4_000
#: What may go on in another function (see `enters` and `leaves`).
_TURNS = CALLS | {Kind.EXIT, Kind.LEGACY}


def enters(cfg: Cfg, step: Step, following: int) -> bool:
    """Does the path go on in a function that the step calls, or has called?"""
    return step.kind in CALLS and following != step.next and following in cfg.starts


def leaves(cfg: Cfg, step: Step, following: int) -> bool:
    """Does the path go on in the caller? A tail call may end a function too, and a classic load."""
    if step.kind in CALLS:
        return following != step.next and following not in cfg.starts
    return step.kind is Kind.EXIT or (step.kind is Kind.LEGACY and following != step.next)


class Path:
    """The way to a refused instruction.

    `env`: of the walk.
    `last_state`: what is known at the refused instruction.
    `slots`: the instructions in order, the refused one last.
    `depths`: for each of them, how many functions were below it on the call stack.
    `skipped`: how many instructions before them are left out.
    """

    def __init__(self, env: Env, st: State, last: int) -> None:
        """`last` is the slot at which the walk stands; it may have gone there already."""
        self.env = env
        self.last_state = st
        self._pieces: list[tuple[Stored, list[int]]] = []
        self._found: dict[int, list[State]] = {}
        stored: Stored | None = st.parent
        trail: Trail = st.trail
        length = self.skipped = 0
        while stored is not None:
            if length < _REACH:
                entries = [entry & SLOT_MASK for entry in trail.entries]
                if not self._pieces and (not entries or entries[-1] != last):
                    entries.append(last)
                self._pieces.append((stored, entries))
                length += len(entries)
            else:
                self.skipped += len(trail.entries)
            trail, stored = stored.trail, stored.parent
        self._pieces.reverse()
        self.slots: list[int] = []
        self._starts: list[int] = []
        for _, entries in self._pieces:
            self._starts.append(len(self.slots))
            self.slots += entries
        self.depths = self._depths()

    def __len__(self) -> int:
        return len(self.slots)

    def step(self, at: int) -> Step:
        return self.env.cfg.at(self.slots[at])

    def line(self, at: int) -> SourceLine | None:
        return self.env.spec.line_of(self.slots[at])

    def taken(self, at: int) -> bool:
        """Did the conditional jump, which is not the last instruction, jump?"""
        return self.slots[at + 1] == self.step(at).target

    def enters(self, at: int) -> bool:
        """Does the instruction go on in another function, which it calls or has called?"""
        following = at + 1
        if following >= len(self.slots):
            return False
        return enters(self.env.cfg, self.step(at), self.slots[following])

    def leaves(self, at: int) -> bool:
        """Does the instruction return to a caller?"""
        following = at + 1
        if following >= len(self.slots):
            return False
        return leaves(self.env.cfg, self.step(at), self.slots[following])

    def _depths(self) -> list[int]:
        """Backwards, since the beginning may be left out."""
        depth = len(self.last_state.frames) - 1
        found = [0] * len(self.slots)
        # All others go on in the same function, and paths are long.
        turns = {step.slot for step in self.env.cfg if step.kind in _TURNS}
        for at in range(len(self.slots) - 1, -1, -1):
            if self.slots[at] in turns:
                if self.leaves(at):
                    depth += 1
                elif self.enters(at):
                    depth -= 1
            found[at] = depth
        return found

    def state(self, at: int) -> State | None:
        """What was known before the instruction, None if that cannot be found again."""
        piece = bisect_right(self._starts, at) - 1
        found = self._found.get(piece)
        if found is None:
            stored, entries = self._pieces[piece]
            found = self._found[piece] = _replayed(self.env, stored, entries)
        at -= self._starts[piece]
        return found[at] if at < len(found) else None


def _replayed(env: Env, stored: Stored, slots: list[int]) -> list[State]:
    """The states before each of the instructions, as many as there can be found. Where an
    instruction leads to the same slot in two ways, both are tried."""
    best: list[State] = []
    found: list[State] = []
    first = stored.state.copy()
    first.parent, first.trail = stored, Trail()
    waiting = [(0, first)]
    replayed = 0
    while waiting and replayed < _MAX_REPLAYED:
        replayed += 1
        at, st = waiting.pop()
        del found[at:]
        found.append(st.copy())
        if len(found) > len(best):
            best = found.copy()
        if len(found) == len(slots):
            break
        st.trail.entries.append(slots[at])
        env.pending.clear()
        try:
            after = transfer(env, st, env.cfg.at(slots[at]))
        except Reject:  # pragma: no cover - the walk has gone all these ways
            continue
        waiting += [(at + 1, way) for way, slot, _ in env.pending if slot == slots[at + 1]]
        if after == slots[at + 1]:
            waiting.append((at + 1, st))
    env.pending.clear()
    return best
