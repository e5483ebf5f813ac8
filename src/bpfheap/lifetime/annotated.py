from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

from bpfheap.lifetime.facts import FieldId, LoadFacts, MapFacts, Refusal, View
from bpfheap.lifetime.policy import Policy, references_of
from bpfheap.lifetime.prog_allocators import MapReference
from bpfheap.verifier.flows import FlowKind, Holder


class TaggedMap(NamedTuple):
    """A field of `map` has a tag that names allocator maps called `allocator`."""

    map: int
    allocator: str


class OpenAllocator(NamedTuple):
    """The allocator that an allocator map of that name stands for now."""

    name: str
    allocator: int


@dataclass(frozen=True, slots=True)
class Annotated(Policy):
    """The tag of a kptr field names an allocator map, and only its objects go there. A map refers
    to the allocators that the tags of its fields name, from when both exist until it is freed.

    Hole: the tag is a string. A map that is created when the allocator map is gone already refers
    to nothing, and may still be given objects that are left of it; when an allocator map of that
    name is created again, fields take objects of both. Fields of objects belong to no map and are
    refused.
    """

    held: frozenset[MapReference] = frozenset()
    named: frozenset[TaggedMap] = frozenset()
    open: frozenset[OpenAllocator] = frozenset()

    name: ClassVar[str] = "annotated"
    rule: ClassVar[str] = "the field's tag names the allocator map"
    thread: ClassVar[str] = "maps refer to maps; names as strings"
    asks: ClassVar[str | None] = "the allocator's name in a tag on every kptr field"
    macro: ClassVar[str | None] = "BPFHEAP_TAGS"

    def map_created(self, facts: MapFacts, view: View) -> Self:
        named = {TaggedMap(facts.map, f.allocator) for f in facts.fields if f.allocator is not None}
        opened = set() if facts.allocator is None else {OpenAllocator(facts.name, facts.allocator)}
        after = replace(self, named=self.named | named, open=self.open | opened)
        held = {
            MapReference(n.map, o.allocator)
            for n in after.named
            for o in after.open
            if n.allocator == o.name
        }
        return replace(after, held=self.held | held)

    def refuse(self, facts: LoadFacts, view: View) -> Refusal | None:
        for flow in facts.flows:
            if flow.kind not in (FlowKind.STORE, FlowKind.MOVE) or flow.field is None:
                continue
            into = facts.definition(flow.field)
            where = _name(flow.field, view)
            if flow.field.holder is Holder.TYPE:
                return Refusal(f"{where} is part of an object, and only maps can refer to maps")
            if into.allocator is None:
                return Refusal(
                    f"{where} has no tag that names an allocator map, and {facts.name} stores "
                    "objects there"
                )
            if isinstance(flow.source, FieldId):
                known = facts.definition(flow.source).allocator
                what = f"what {_name(flow.source, view)} holds"
            else:
                known = None if flow.source is None else view.allocator_name(flow.source)
                what = f"objects of {known}"
            if known != into.allocator:
                return Refusal(
                    f"the tag of {where} names {into.allocator}, and {facts.name} stores {what}"
                )
        return None

    def allocator_closed(self, allocator: int, view: View) -> Self:
        return replace(self, open=frozenset(o for o in self.open if o.allocator != allocator))

    def map_freed(self, map_id: int, view: View) -> Self:
        return replace(
            self,
            held=frozenset(h for h in self.held if h.map != map_id),
            named=frozenset(n for n in self.named if n.map != map_id),
        )

    def waits_for(self, allocator: int, view: View) -> tuple[str, ...]:
        return references_of((h.map for h in self.held if h.allocator == allocator), view)


def _name(field: FieldId, view: View) -> str:
    owner = view.map_name(field.owner) if isinstance(field.owner, int) else f"struct {field.owner}"
    return f"{owner}.{field.path}"
