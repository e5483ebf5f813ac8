from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bpfheap.lifetime.facts import LoadFacts, Refusal, View
from bpfheap.lifetime.used_allocators import UsedAllocators, references
from bpfheap.verifier.flows import FlowKind


@dataclass(frozen=True, slots=True)
class UsedAllocatorsStrict(UsedAllocators):
    """As used-allocators, and a `take` of a field with no allocator yet refuses the load.

    Whoever could move an object on is verified after the allocator of the field is known, so no
    move is missed. In exchange it depends on the order of loads what loads at all: in the thread's
    order, P1 and P3 are refused.
    """

    name: ClassVar[str] = "used-allocators-strict"
    rule: ClassVar[str] = (
        "as used-allocators, and a take of a field with no allocator yet fails the load"
    )
    thread: ClassVar[str] = "safe, but load order decides what loads"

    def refuse(self, facts: LoadFacts, view: View) -> Refusal | None:
        # Bare super() does not find its class in a dataclass with slots.
        reason = super(UsedAllocatorsStrict, self).refuse(facts, view)
        if reason is not None:
            return reason
        # In the order of the program: a store further down comes too late for a move before it.
        known = set(self.used)
        for flow in facts.flows:
            known.update(references(flow, known))
            field = flow.field
            if flow.kind is FlowKind.TAKE and not any(u.field == field for u in known):
                assert field is not None
                owner = view.map_name(field.owner) if isinstance(field.owner, int) else field.owner
                return Refusal(
                    f"{facts.name} takes objects out of {owner}.{field.path}, for which no "
                    "allocator is known yet"
                )
        return None
