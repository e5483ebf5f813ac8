"""The walk without pruning, to hold the one with it against.

Every path is walked to its end with all that is known on it. A state is stored for one purpose: to
see that an ordinary loop comes by once more with nothing changed. Loops that the kernel drives have
no end then, so each is unrolled a few times; a walk that stopped there has found nothing wrong in
what it saw, and does not know of the rest.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from bpfheap.verifier import hints
from bpfheap.verifier.analysis.cfg import CALLBACK_LOOP, ITERATOR_LOOP, NO_LOOP, Cfg
from bpfheap.verifier.paths.prune import EXACT, StoredStates
from bpfheap.verifier.reject import Reject
from bpfheap.verifier.state.state import State, Stored

#: As often, on one path, iterations of a loop that the kernel drives begin at one place.
_MAX_ITERATIONS: Final = 5
#: The last states at one place that a state is compared with. One that comes back does so again and
#: again, so the last ones are enough.
_COMPARED: Final = 8


class UnprunedStates(StoredStates):
    """The states of the path that is walked, of which none ends another one."""

    def __init__(self, cfg: Cfg, live: list[int], loops: list[int]) -> None:
        super().__init__(cfg, live, loops, all_precise=True)

    def _store(self, st: State, slot: i64) -> Stored:
        stored = StoredStates._store(self, st, slot)
        # Nothing is left to be marked, so that nothing is widened, and marking ends here.
        for i in range(len(stored.precise_regs)):
            stored.precise_regs[i] = 0x3FF
            stored.precise_slots[i] = -1
        return stored

    def visit(self, st: State, slot: i64, insns: i64, jumps: i64, loop: i64) -> bool:
        """May the path end here, because its loop was unrolled often enough? Raises Reject for an
        infinite loop."""
        where = self._list(st, slot)
        # Whatever is walked to its end is not on the path any more.
        points = [stored for stored in self._points.get(where, []) if stored.branches]
        points = points[-_COMPARED:]
        self._points[where] = points
        if loop != NO_LOOP and len(points) >= _MAX_ITERATIONS:
            self.cut = True
            return True
        if loop != CALLBACK_LOOP and loop != ITERATOR_LOOP:
            for stored in reversed(points):
                if (
                    stored.state.unrolled == st.unrolled
                    and stored.state.may_gotos == st.may_gotos
                    and self._same(stored, st, slot, EXACT)
                ):
                    raise Reject(f"infinite loop detected at insn {slot}", hint=hints.LOOP)
        self.count += 1
        points.append(self._store(st, slot))
        return False

    def widen(self, st: State, slot: i64, but: Stored | None) -> None:
        """Nothing: each iteration begins with what is known."""
