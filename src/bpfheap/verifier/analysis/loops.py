"""Which instructions are in loops (compute_scc and compute_scc_callchain, Linux 6.18)."""

from __future__ import annotations

from bpfheap.spec import SubprogSpec
from bpfheap.verifier.analysis.cfg import CALLBACK_LOOP, Cfg, Step


def loops(cfg: Cfg) -> list[int]:
    """By slot: the number of the strongly connected component of its function, from 1 on; 0 where
    it is the only instruction of one and does not lead to itself. A call that calls back is a loop
    of its own."""
    found = [0] * len(cfg.steps)
    number = 0
    for sub in cfg.subprogs:
        for component in _components(cfg, sub):
            number += 1
            for slot in component:
                found[slot] = number
    return found


def _components(cfg: Cfg, sub: SubprogSpec) -> list[list[int]]:
    """Those of a function that are loops."""
    steps = list(cfg.within(sub))
    if not any(_leads_back(step) for step in steps):
        return [[step.slot] for step in steps if step.loop == CALLBACK_LOOP]
    return [
        component
        for component in _Tarjan(cfg, sub.start).components
        if len(component) > 1 or _is_loop(cfg.at(component[0]))
    ]


def _leads_back(step: Step) -> bool:
    return step.jumps and step.target <= step.slot


def _is_loop(step: Step) -> bool:
    return step.slot in step.after or step.loop == CALLBACK_LOOP


class _Tarjan:
    """Tarjan's algorithm, without recursion, on all that is reached from `start` within its
    function.

    `components`: those that are complete.
    `_order`: by slot, when it was met; `_low`: the earliest that is met again from there.
    `_open`: the slots of components that are not complete, in the order in which they were met.
    """

    def __init__(self, cfg: Cfg, start: int) -> None:
        self._cfg = cfg
        self.components: list[list[int]] = []
        self._order: dict[int, int] = {}
        self._low: dict[int, int] = {}
        self._open: list[int] = []
        self._is_open: set[int] = set()
        self._visit(start)

    def _visit(self, start: int) -> None:
        # By slot on the way: how many of those that may run next were looked at.
        todo = [start]
        looked = [0]
        self._meet(start)
        while todo:
            slot, at = todo[-1], looked[-1]
            after = self._cfg.at(slot).after
            if at == len(after):
                todo.pop()
                looked.pop()
                self._leave(slot)
                if todo:
                    above = todo[-1]
                    self._low[above] = min(self._low[above], self._low[slot])
                continue
            looked[-1] = at + 1
            following = after[at]
            if following not in self._order:
                self._meet(following)
                todo.append(following)
                looked.append(0)
            elif following in self._is_open:
                self._low[slot] = min(self._low[slot], self._order[following])

    def _meet(self, slot: int) -> None:
        self._order[slot] = self._low[slot] = len(self._order)
        self._open.append(slot)
        self._is_open.add(slot)

    def _leave(self, slot: int) -> None:
        if self._low[slot] != self._order[slot]:
            return
        component: list[int] = []
        while not component or component[-1] != slot:
            component.append(self._open.pop())
        self._is_open.difference_update(component)
        self.components.append(component)
