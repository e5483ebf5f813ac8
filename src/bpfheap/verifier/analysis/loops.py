"""Which instructions are in loops (compute_scc and compute_scc_callchain, Linux 6.18)."""

from __future__ import annotations

from bpfheap.verifier.analysis.cfg import CALLBACK_LOOP, Cfg


def loops(cfg: Cfg) -> list[int]:
    """By slot: the number of the strongly connected component of its function, from 1 on; 0 where
    it is the only instruction of one and does not lead to itself. A call that calls back is a loop
    of its own."""
    found = [0] * len(cfg.steps)
    numbers = _Tarjan(cfg)
    for sub in cfg.subprogs:
        numbers.visit(sub.start)
    for number, component in enumerate(numbers.components, 1):
        step = cfg.at(component[0])
        if len(component) > 1 or step.slot in cfg.successors(step) or step.loop == CALLBACK_LOOP:
            for slot in component:
                found[slot] = number
    return found


class _Tarjan:
    """Tarjan's algorithm, without recursion.

    `components`: those that are complete.
    `_order`: by slot, when it was met; `_low`: the earliest that is met again from there.
    `_open`: the slots of components that are not complete, in the order in which they were met.
    """

    def __init__(self, cfg: Cfg) -> None:
        self._cfg = cfg
        self.components: list[list[int]] = []
        self._order: dict[int, int] = {}
        self._low: dict[int, int] = {}
        self._open: list[int] = []
        self._is_open: set[int] = set()

    def visit(self, start: int) -> None:
        """All that is reached from `start` within its function."""
        todo = [(start, iter(self._meet(start)))]
        while todo:
            slot, after = todo[-1]
            following = next(after, None)
            if following is None:
                todo.pop()
                self._leave(slot)
                if todo:
                    above = todo[-1][0]
                    self._low[above] = min(self._low[above], self._low[slot])
            elif following not in self._order:
                todo.append((following, iter(self._meet(following))))
            elif following in self._is_open:
                self._low[slot] = min(self._low[slot], self._order[following])

    def _meet(self, slot: int) -> tuple[int, ...]:
        self._order[slot] = self._low[slot] = len(self._order)
        self._open.append(slot)
        self._is_open.add(slot)
        return self._cfg.successors(self._cfg.at(slot))

    def _leave(self, slot: int) -> None:
        if self._low[slot] != self._order[slot]:
            return
        component: list[int] = []
        while not component or component[-1] != slot:
            component.append(self._open.pop())
        self._is_open.difference_update(component)
        self.components.append(component)
