from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

from bpfheap.events import ObjectEvent, ObjectKind
from bpfheap.lifetime.facts import View
from bpfheap.lifetime.policy import Policy


class ReferenceCount(NamedTuple):
    """The references of an allocator's objects, summed over all CPUs."""

    allocator: int
    references: int


@dataclass(frozen=True, slots=True)
class PercpuRef(Policy):
    """Each object holds a reference to its allocator, counted on the CPU that it is on.

    One CPU's count says nothing, not even that it is positive: an object may be freed elsewhere.
    So the allocator lives until its map goes, which starts the switch to one atomic count
    (percpu_ref_kill); a grace period later the sum is known, and from then on it is exact. Since
    nobody decides on a single CPU's count, only the sum is kept here. No hole is known; frees are
    slow after the switch.
    """

    counts: frozenset[ReferenceCount] = frozenset()
    switching: frozenset[int] = frozenset()

    name: ClassVar[str] = "percpu-ref"
    rule: ClassVar[str] = (
        "a per-CPU reference per object, switched to atomic when the allocator map goes"
    )
    thread: ClassVar[str] = "slow frees after that"
    watches_objects: ClassVar[bool] = True

    def _references(self, allocator: int) -> int:
        return next((c.references for c in self.counts if c.allocator == allocator), 0)

    def object_event(self, event: ObjectEvent, view: View) -> Self:
        change = 1 if event.kind is ObjectKind.ALLOC else -1
        references = self._references(event.allocator) + change
        counts = {c for c in self.counts if c.allocator != event.allocator}
        if references:
            counts.add(ReferenceCount(event.allocator, references))
        return replace(self, counts=frozenset(counts))

    def allocator_closed(self, allocator: int, view: View) -> Self:
        return replace(self, switching=self.switching | {allocator})

    def grace_period(self, view: View) -> Self:
        return replace(self, switching=frozenset())

    def allocator_destroyed(self, allocator: int) -> Self:
        return replace(self, counts=frozenset(c for c in self.counts if c.allocator != allocator))

    def waits_for(self, allocator: int, view: View) -> tuple[str, ...]:
        if allocator in self.switching:
            return ("a grace period, after which its references are known",)
        references = self._references(allocator)
        return (f"{references} reference{'s' * (references != 1)} of objects",) * bool(references)
