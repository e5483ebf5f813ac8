from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bpfheap.lifetime.facts import View
from bpfheap.lifetime.policy import Policy


@dataclass(frozen=True, slots=True)
class Global(Policy):
    """Never destroy an allocator: the way mainline Linux went, where there is just one.

    Safe, since nothing ever goes away; in exchange there is no isolation, no prefill that
    belongs to somebody, and no memory given back.
    """

    name: ClassVar[str] = "global"
    rule: ClassVar[str] = "one allocator that never dies"
    thread: ClassVar[str] = "no isolation, no prefill, no accounting"
    immortal: ClassVar[bool] = True

    def waits_for(self, allocator: int, view: View) -> tuple[str, ...]:
        return ("the global allocator is never destroyed",)
