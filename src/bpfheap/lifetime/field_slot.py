from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

from bpfheap.lifetime.facts import FieldId, LoadFacts, Refusal, View
from bpfheap.lifetime.policy import Policy, references_of
from bpfheap.verifier.flows import FlowKind, Holder


class FieldSlot(NamedTuple):
    """Fields that were found to need one allocator; None is the placeholder."""

    fields: frozenset[FieldId]
    allocator: int | None


@dataclass(frozen=True, slots=True)
class FieldSlots(Policy):
    """The slot sits in the descriptor of each field. A move makes two fields equivalent, which is
    recorded; the first store makes the placeholder of all equivalent fields its allocator. Each
    map holds a reference for its fields until it is freed.

    Hole in the design: neither the transition nor an equivalence is ever taken back, also when
    the program that made it is gone. Maps that are put into a map of maps later know nothing of
    what holds for those that were there. Fields of objects have no map to hold a reference and are
    refused.
    """

    slots: frozenset[FieldSlot] = frozenset()

    name: ClassVar[str] = "field-slot"
    rule: ClassVar[str] = (
        "the slot sits in the field's descriptor, equivalences between fields recorded"
    )
    thread: ClassVar[str] = "irreversible"

    def _after(self, facts: LoadFacts, view: View) -> list[tuple[frozenset[FieldId], set[int]]]:
        """All fields in their classes, with the allocators that each then has."""
        classes: list[tuple[set[FieldId], set[int]]] = [
            (set(s.fields), set() if s.allocator is None else {s.allocator}) for s in self.slots
        ]

        def join(fields: set[FieldId], allocators: set[int]) -> None:
            for known in [c for c in classes if c[0] & fields]:
                classes.remove(known)
                fields = fields | known[0]
                allocators = allocators | known[1]
            classes.append((fields, allocators))

        for fact in facts.fields:
            field = fact.field
            same = {field}
            if field.holder is Holder.INNER and isinstance(field.owner, int):
                inner = view.inner_maps(field.owner)
                same |= {FieldId(Holder.MAP, m, field.path) for m in inner}
            join(same, set())
        for flow in facts.flows:
            if flow.field is None:
                continue
            if flow.kind is FlowKind.STORE and isinstance(flow.source, int):
                join({flow.field}, {flow.source})
            elif flow.kind is FlowKind.MOVE and isinstance(flow.source, FieldId):
                join({flow.field, flow.source}, set())
        return [(frozenset(fields), allocators) for fields, allocators in classes]

    def refuse(self, facts: LoadFacts, view: View) -> Refusal | None:
        for field in (f.field for f in facts.fields):
            if field.holder is Holder.TYPE:
                return Refusal(
                    f"struct {field.owner}.{field.path} is part of an object, and only maps can "
                    "hold references to allocators"
                )
        for fields, allocators in self._after(facts, view):
            if len(allocators) > 1:
                claimed = {s.allocator for s in self.slots if s.fields & fields}
                known = min(allocators & claimed, default=None)
                names = " and ".join(sorted(view.allocator_name(a) for a in allocators))
                where = ", ".join(
                    sorted(
                        f"{view.map_name(f.owner)}.{f.path}"
                        for f in fields
                        if isinstance(f.owner, int)
                    )
                )
                return Refusal(f"{where} would take objects of {names}", known)
        return None

    def loaded(self, facts: LoadFacts, view: View) -> Self:
        slots = (FieldSlot(f, min(a, default=None)) for f, a in self._after(facts, view))
        return replace(self, slots=frozenset(slots))

    def map_freed(self, map_id: int, view: View) -> Self:
        left = (
            slot._replace(fields=frozenset(f for f in slot.fields if f.owner != map_id))
            for slot in self.slots
        )
        return replace(self, slots=frozenset(slot for slot in left if slot.fields))

    def waits_for(self, allocator: int, view: View) -> tuple[str, ...]:
        maps = (
            f.owner
            for slot in self.slots
            if slot.allocator == allocator
            for f in slot.fields
            if isinstance(f.owner, int)
        )
        return references_of(maps, view)
