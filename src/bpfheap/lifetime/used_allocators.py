from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

from bpfheap.lifetime.facts import FieldId, FlowFact, LoadFacts, Refusal, View
from bpfheap.lifetime.policy import Policy, references_of
from bpfheap.verifier.flows import FlowKind, Holder


class UsedAllocator(NamedTuple):
    """Objects of `allocator` may be in `field`; `map` holds the reference until it is freed."""

    map: int
    field: FieldId
    allocator: int


def references(flow: FlowFact, known: Collection[UsedAllocator]) -> list[UsedAllocator]:
    """The references that one flow adds to those that are known when it is verified."""
    to = flow.field
    if to is None or not isinstance(to.owner, int):
        return []
    if flow.kind is FlowKind.STORE:
        assert isinstance(flow.source, int)
        return [UsedAllocator(to.owner, to, flow.source)]
    if flow.kind is FlowKind.MOVE:
        # What is known of the source now goes along; what comes later does not.
        sources = sorted(u.allocator for u in known if u.field == flow.source)
        return [UsedAllocator(to.owner, to, allocator) for allocator in sources]
    return []


@dataclass(frozen=True, slots=True)
class UsedAllocators(Policy):
    """At load, each store(A → F) adds {F, A} to F's map: the map holds a reference to A.

    A second allocator for the same field refuses the load. Nothing happens at unload; the map
    drops its references after its values were walked and freed.

    Hole: a `move` verified before the `store` finds no allocator to pass on, and the destination
    map never learns of it (the thread's three programs). For an inner map the reference is on
    the outer one, whose template the program was verified against: an inner map that outlives the
    outer one keeps objects and no reference. A store into a field of an object has no map to hold
    a reference and is refused.
    """

    used: frozenset[UsedAllocator] = frozenset()

    name: ClassVar[str] = "used-allocators"
    rule: ClassVar[str] = (
        "at load, store(A → F) adds {F, A} to the map; a second allocator for F fails the load; "
        "nothing at unload; map free drops them"
    )
    thread: ClassVar[str] = "a move verified before the store is missed: the three-program case"

    def _stores(self, facts: LoadFacts) -> list[UsedAllocator]:
        """The references that a load adds, in the order of the program's flows."""
        known = set(self.used)
        found: list[UsedAllocator] = []
        for flow in facts.flows:
            new = references(flow, known)
            known.update(new)
            found += new
        return found

    def refuse(self, facts: LoadFacts, view: View) -> Refusal | None:
        owner: dict[FieldId, int] = {u.field: u.allocator for u in self.used}
        for use in self._stores(facts):
            known = owner.setdefault(use.field, use.allocator)
            if known != use.allocator:
                return Refusal(
                    f"{view.map_name(use.map)}.{use.field.path} already takes objects of "
                    f"allocator {view.allocator_name(known)}; {facts.name} stores objects of "
                    f"{view.allocator_name(use.allocator)}",
                    known,
                )
        for flow in facts.flows:
            into_object = flow.field is not None and flow.field.holder is Holder.TYPE
            if into_object and flow.kind in (FlowKind.STORE, FlowKind.MOVE):
                assert flow.field is not None
                return Refusal(
                    f"struct {flow.field.owner}.{flow.field.path} is part of an object, and only "
                    "maps can hold references to allocators"
                )
        return None

    def loaded(self, facts: LoadFacts, view: View) -> Self:
        return replace(self, used=self.used.union(self._stores(facts)))

    def map_freed(self, map_id: int, view: View) -> Self:
        return replace(self, used=frozenset(u for u in self.used if u.map != map_id))

    def waits_for(self, allocator: int, view: View) -> tuple[str, ...]:
        return references_of((u.map for u in self.used if u.allocator == allocator), view)
