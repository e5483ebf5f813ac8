from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

from bpfheap.lifetime.facts import FieldId, LoadFacts, View
from bpfheap.lifetime.used_allocators import UsedAllocator, UsedAllocators
from bpfheap.verifier.flows import FlowKind


class Edge(NamedTuple):
    """`program` may move objects from `source` to `field`."""

    program: int
    source: FieldId
    field: FieldId


@dataclass(frozen=True, slots=True)
class EdgePropagation(UsedAllocators):
    """As used-allocators, and `move` edges carry allocators on, also those that come later.

    An edge lasts as long as its program; what it carried stays with the map. The three programs
    are covered in any order. A load can be refused because of two programs that have nothing to
    do with each other but a chain of moves between their fields.
    """

    edges: frozenset[Edge] = frozenset()

    name: ClassVar[str] = "edge-propagation"
    rule: ClassVar[str] = "as used-allocators, and move edges carry allocators on, also later"
    thread: ClassVar[str] = "becoming too complicated"

    def _stores(self, facts: LoadFacts) -> list[UsedAllocator]:
        """All references that a load adds, at its own fields and at the ends of edges."""
        edges = self.edges.union(_edges(facts))
        own = super(EdgePropagation, self)._stores(facts)
        new = _carried(self.used.union(own), edges) - self.used
        return sorted(new)

    def loaded(self, facts: LoadFacts, view: View) -> Self:
        after = super(EdgePropagation, self).loaded(facts, view)
        return replace(after, edges=self.edges.union(_edges(facts)))

    def unloaded(self, program: int, view: View) -> Self:
        return replace(self, edges=frozenset(e for e in self.edges if e.program != program))


def _edges(facts: LoadFacts) -> Iterable[Edge]:
    for flow in facts.flows:
        if flow.kind is FlowKind.MOVE and flow.field is not None:
            assert isinstance(flow.source, FieldId)
            yield Edge(facts.program, flow.source, flow.field)


def _carried(used: frozenset[UsedAllocator], edges: frozenset[Edge]) -> frozenset[UsedAllocator]:
    """The references, and all that follow along edges."""
    reached = set(used)
    todo = list(used)
    while todo:
        at = todo.pop()
        for edge in edges:
            if edge.source == at.field and isinstance(edge.field.owner, int):
                new = UsedAllocator(edge.field.owner, edge.field, at.allocator)
                if new not in reached:
                    reached.add(new)
                    todo.append(new)
    return frozenset(reached)
