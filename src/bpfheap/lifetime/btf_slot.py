from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

from bpfheap.events import ObjectEvent, ObjectKind
from bpfheap.lifetime.facts import LoadFacts, Refusal, View
from bpfheap.lifetime.policy import Policy
from bpfheap.verifier.flows import FlowKind


class StructKey(NamedTuple):
    """A struct of a BTF object."""

    btf: int
    type: str


class TypeSlot(NamedTuple):
    """`allocator` None is the placeholder. Where a program brings several BTF objects together that
    define one struct, they have one slot for it: `keys`."""

    keys: frozenset[StructKey]
    allocator: int | None


class FreeingProgram(NamedTuple):
    """A loaded program that frees: its BTF, and the allocators of what it frees without having had
    it from a field."""

    program: int
    btf: int
    allocators: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BtfSlot(Policy):
    """One slot for each struct in the BTF. The first program that uses a kptr to it makes the slot,
    with a placeholder until a program is loaded that stores an allocator's objects; frees find
    the allocator by way of the slot. The reference is dropped when the BTF goes, after map free.

    Hole in the design: a slot that is claimed cannot be claimed again, since programs were
    verified with that allocator in mind. When its allocator map is gone, the fields of all maps
    with that BTF are of no use any more. The thread has one BTF for all; here, files bring their
    own, and a program ties those of its maps together, as does a map that is put into another one;
    where both are claimed already, by different allocators, it is too late for that, and objects
    of one are freed to the other. A map that gets an object from a program which does not handle
    the objects inside is not tied for those.
    """

    slots: frozenset[TypeSlot] = frozenset()
    frees: frozenset[FreeingProgram] = frozenset()

    name: ClassVar[str] = "btf-slot"
    rule: ClassVar[str] = (
        "one slot per type in the BTF; a placeholder until an allocator is known; frees go through "
        "the slot; released when the BTF goes, after map free"
    )
    thread: ClassVar[str] = "a claimed slot is never unclaimed: maps stay with useless fields"
    watches_objects: ClassVar[bool] = True

    def _with(self, facts: LoadFacts, view: View) -> list[tuple[str, set[int], TypeSlot]]:
        """For each struct that the program handles, all allocators that claim its slot then, and
        the slot with one of them."""
        maps = [*facts.maps, *(inner for m in facts.maps for inner in view.inner_maps(m))]
        btfs = {facts.btf, *(view.btf_of(m) for m in maps)}
        found = []
        for struct in sorted({f.type for f in facts.fields}):
            keys = {StructKey(btf, struct) for btf in btfs}
            claims = _stored(facts, struct)
            for slot in self.slots:
                if slot.keys & keys:
                    keys |= slot.keys
                    claims |= set() if slot.allocator is None else {slot.allocator}
            found.append((struct, claims, TypeSlot(frozenset(keys), min(claims, default=None))))
        return found

    def refuse(self, facts: LoadFacts, view: View) -> Refusal | None:
        for struct, claims, slot in self._with(facts, view):
            if len(claims) > 1:
                known = {s.allocator for s in self.slots if s.keys & slot.keys} - {None}
                first, *others = sorted(claims, key=lambda a: (a not in known, a))
                return Refusal(
                    f"the slot of struct {struct} is claimed by {view.allocator_name(first)}; "
                    f"{facts.name} brings {', '.join(map(view.allocator_name, others))}",
                    first if known else None,
                )
        return None

    def loaded(self, facts: LoadFacts, view: View) -> Self:
        slots = set(self.slots)
        for _, _, slot in self._with(facts, view):
            slots = {s for s in slots if not s.keys & slot.keys} | {slot}
        frees = [flow for flow in facts.flows if flow.kind is FlowKind.FREE]
        fresh = {flow.source for flow in frees if isinstance(flow.source, int)}
        mine = {FreeingProgram(facts.program, facts.btf, tuple(sorted(fresh)))} if frees else set()
        return replace(self, slots=frozenset(slots), frees=self.frees | mine)

    def inner_inserted(self, outer: int, inner: int, view: View) -> Self:
        there, new = view.btf_of(outer), view.btf_of(inner)
        slots = set(self.slots)
        for slot in self.slots:
            for key in slot.keys:
                if key.btf == there:
                    slots = _tied(slots, key, StructKey(new, key.type))
        return replace(self, slots=frozenset(slots))

    def unloaded(self, program: int, view: View) -> Self:
        return replace(self, frees=frozenset(f for f in self.frees if f.program != program))

    def btf_freed(self, btf: int, view: View) -> Self:
        left = (
            slot._replace(keys=frozenset(k for k in slot.keys if k.btf != btf))
            for slot in self.slots
        )
        return replace(self, slots=frozenset(slot for slot in left if slot.keys))

    def misdirected(self, event: ObjectEvent, view: View) -> str | None:
        known = next((f for f in self.frees if f.program == event.program), None)
        if event.kind is not ObjectKind.FREE or known is None:
            return None
        if event.allocator in known.allocators:
            # The verifier saw the allocation itself.
            return None
        key = StructKey(known.btf, event.type)
        slot = next((s for s in self.slots if key in s.keys), None)
        if slot is None or slot.allocator == event.allocator:
            return None
        found = "the placeholder" if slot.allocator is None else view.allocator_name(slot.allocator)
        return (
            f"the free of a struct {event.type} finds {found} in the slot, and the object is of "
            f"{view.allocator_name(event.allocator)}"
        )

    def waits_for(self, allocator: int, view: View) -> tuple[str, ...]:
        names = {k.type for slot in self.slots if slot.allocator == allocator for k in slot.keys}
        return tuple(f"the slot of struct {name}, until its BTF goes" for name in sorted(names))


def _tied(slots: set[TypeSlot], one: StructKey, other: StructKey) -> set[TypeSlot]:
    """The slots, with one for both keys, unless two allocators claim them."""
    mine = {s for s in slots if s.keys & {one, other}}
    claims = {s.allocator for s in mine if s.allocator is not None}
    if len(claims) > 1:
        return slots
    keys = frozenset({one, other}).union(*(s.keys for s in mine))
    return (slots - mine) | {TypeSlot(keys, min(claims, default=None))}


def _stored(facts: LoadFacts, struct: str) -> set[int]:
    """The allocators whose objects go into fields of that type."""
    return {
        flow.source
        for flow in facts.flows
        if flow.kind is FlowKind.STORE
        and isinstance(flow.source, int)
        and flow.field is not None
        and facts.definition(flow.field).type == struct
    }
