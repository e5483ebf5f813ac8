from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from bpfheap.lifetime.facts import FieldId, LoadFacts, MapFacts, Refusal, View
from bpfheap.lifetime.policy import Policy, references_of
from bpfheap.lifetime.prog_allocators import MapReference
from bpfheap.verifier.flows import FlowKind, Holder


@dataclass(frozen=True, slots=True)
class Static(Policy):
    """The map's definition names its allocator (`kptr_allocator`), and programs store nothing else
    there. The map refers to it from beginning to end.

    No hole is known. It is the least flexible: the allocator is there before the map, and the map
    has one for all its fields and for good. Fields of objects belong to no map and are refused.
    """

    held: frozenset[MapReference] = frozenset()

    name: ClassVar[str] = "static"
    rule: ClassVar[str] = "kptr_allocator in the map definition; the verifier accepts only that one"
    thread: ClassVar[str] = "least flexible"
    asks: ClassVar[str | None] = "kptr_allocator in every map definition"
    macro: ClassVar[str | None] = "BPFHEAP_KPTR_ALLOCATORS"

    def map_created(self, facts: MapFacts, view: View) -> Self:
        if facts.kptr_allocator is None:
            return self
        return replace(self, held=self.held | {MapReference(facts.map, facts.kptr_allocator)})

    def refuse(self, facts: LoadFacts, view: View) -> Refusal | None:
        for flow in facts.flows:
            if flow.kind not in (FlowKind.STORE, FlowKind.MOVE) or flow.field is None:
                continue
            if flow.field.holder is Holder.TYPE:
                return Refusal(
                    f"struct {flow.field.owner}.{flow.field.path} is part of an object, and only "
                    "maps name allocators"
                )
            into = _allocator(flow.field, view)
            assert isinstance(flow.field.owner, int)
            where = view.map_name(flow.field.owner)
            if into is None:
                return Refusal(
                    f"the definition of {where} names no kptr_allocator, and {facts.name} stores "
                    "objects there"
                )
            known = (
                _allocator(flow.source, view) if isinstance(flow.source, FieldId) else flow.source
            )
            if known != into:
                what = "none" if known is None else view.allocator_name(known)
                return Refusal(
                    f"the kptr_allocator of {where} is {view.allocator_name(into)}; "
                    f"{facts.name} stores objects of {what}",
                    into,
                )
        return None

    def map_freed(self, map_id: int, view: View) -> Self:
        return replace(self, held=frozenset(h for h in self.held if h.map != map_id))

    def waits_for(self, allocator: int, view: View) -> tuple[str, ...]:
        return references_of((h.map for h in self.held if h.allocator == allocator), view)


def _allocator(field: FieldId, view: View) -> int | None:
    """The one that the map's definition names; what it names for the maps inside holds for all
    that are ever put there."""
    return view.kptr_allocator(field.owner) if isinstance(field.owner, int) else None
