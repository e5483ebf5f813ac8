from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

from bpfheap.lifetime.facts import FieldId, LoadFacts, View
from bpfheap.lifetime.policy import Policy, references_of
from bpfheap.lifetime.prog_allocators import MapReference


class KnownMaps(NamedTuple):
    """A loaded program and the maps that its code names."""

    program: int
    maps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class UnloadWalk(Policy):
    """When a program is unloaded, the values of its maps are walked, and each map takes a
    reference to every allocator of which it holds an object at that moment. Map free drops them.

    An owner pointer in front of each object says where it came from.

    Hole: a walk is not atomic. An object that another program has taken out is not seen, and comes
    back afterwards; one that was moved to a map that this program does not know is not seen either.
    Maps inside maps are none of the program's.
    """

    held: frozenset[MapReference] = frozenset()
    knows: frozenset[KnownMaps] = frozenset()

    name: ClassVar[str] = "unload-walk"
    rule: ClassVar[str] = (
        "owner pointer in front of each object; at program unload walk the values of its maps and "
        "take a reference to every allocator seen"
    )
    thread: ClassVar[str] = (
        "a concurrent exchange changes the value under the walk; inner maps are not in the "
        "program's maps"
    )

    def loaded(self, facts: LoadFacts, view: View) -> Self:
        if not facts.maps:
            # Nothing is walked for it, so nobody would tell of the end of the walk.
            return self
        return replace(self, knows=self.knows | {KnownMaps(facts.program, facts.maps)})

    def walks(self, program: int, view: View) -> tuple[int, ...]:
        return next((k.maps for k in self.knows if k.program == program), ())

    def walked(self, program: int, field: FieldId, allocator: int | None, view: View) -> Self:
        if not allocator:
            return self
        assert isinstance(field.owner, int)
        return replace(self, held=self.held | {MapReference(field.owner, allocator)})

    def walk_ended(self, program: int, view: View) -> Self:
        return replace(self, knows=frozenset(k for k in self.knows if k.program != program))

    def map_freed(self, map_id: int, view: View) -> Self:
        return replace(self, held=frozenset(h for h in self.held if h.map != map_id))

    def waits_for(self, allocator: int, view: View) -> tuple[str, ...]:
        return references_of((h.map for h in self.held if h.allocator == allocator), view)
