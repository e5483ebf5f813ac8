from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

from bpfheap.lifetime.facts import LoadFacts, View
from bpfheap.lifetime.policy import Policy, references_of


class MapReference(NamedTuple):
    """`map` holds a reference to `allocator`."""

    map: int
    allocator: int


@dataclass(frozen=True, slots=True)
class ProgAllocators(Policy):
    """At load, every allocator that the program can use is added to every map that it can see,
    with the maps that those hold at that moment. Map free drops what the map holds.

    Hole: a program that moves objects of another program's allocator does not know it. And a map
    that stays gets one more reference with each reload of a program and its allocator.
    """

    held: frozenset[MapReference] = frozenset()

    name: ClassVar[str] = "prog-allocators"
    rule: ClassVar[str] = (
        "at load, every allocator the program can use is added to every map it can see, inner "
        "maps included"
    )
    thread: ClassVar[str] = "sees only its own program's allocators; grows without bound on reload"

    def loaded(self, facts: LoadFacts, view: View) -> Self:
        seen = [*facts.maps, *(inner for m in facts.maps for inner in view.inner_maps(m))]
        new = (MapReference(m, allocator) for m in seen for allocator in facts.allocators)
        return replace(self, held=self.held.union(new))

    def map_freed(self, map_id: int, view: View) -> Self:
        return replace(self, held=frozenset(h for h in self.held if h.map != map_id))

    def waits_for(self, allocator: int, view: View) -> tuple[str, ...]:
        return references_of((h.map for h in self.held if h.allocator == allocator), view)
