from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bpfheap.lifetime.facts import View
from bpfheap.lifetime.policy import Policy


@dataclass(frozen=True, slots=True)
class LiveCount(Policy):
    """Keep an allocator while it has live objects.

    Knows nothing of programs or fields: the allocator counts what it handed out and what came
    back. No hole is known. The count has to be exact at the moment the map goes and at every free
    from then on, which is why it is the machine that answers.
    """

    name: ClassVar[str] = "live-count"
    rule: ClassVar[str] = (
        "live objects per allocator, derived from what the per-CPU caches count anyway; "
        "summed only when its map is gone"
    )
    thread: ClassVar[str] = "what the thread's last word recommends: precise, at run time"

    def waits_for(self, allocator: int, view: View) -> tuple[str, ...]:
        live = view.live(allocator)
        return (f"{live} live object{'s' if live != 1 else ''}",) if live else ()
