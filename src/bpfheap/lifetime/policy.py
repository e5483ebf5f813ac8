"""What a policy is: facts in, answers out.

A policy is a frozen dataclass of plain data. An event does not change it but gives the policy
that holds afterwards, so that a state of the system can be kept, compared and hashed. Only the
allocators whose map is gone are asked about: as long as a descriptor, a pin or a loaded program
holds the allocator map, the allocator lives under every policy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, ClassVar, Self

from bpfheap.events import ObjectEvent
from bpfheap.lifetime.facts import FieldId, LoadFacts, MapFacts, Refusal, View


def references_of(maps: Iterable[int], view: View) -> tuple[str, ...]:
    """The phrases of `waits_for` for references that maps hold, each map once."""
    return tuple(
        f"the reference that map {name} holds" for name in sorted({view.map_name(m) for m in maps})
    )


def _plain(value: Any) -> Any:
    """Sets and tuples as lists, named tuples as objects; sets in a fixed order."""
    if isinstance(value, frozenset):
        return [_plain(item) for item in sorted(value, key=repr)]
    if isinstance(value, tuple):
        names = getattr(value, "_fields", None)
        items = [_plain(item) for item in value]
        return items if names is None else dict(zip(names, items, strict=True))
    return str(value) if isinstance(value, StrEnum) else value


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy that admits everything and keeps nothing; others override what they decide.

    `rule` and `thread` are the lines of the table that `bpfheap policies` prints: what the policy
    does, and what the mailing-list thread says of it.
    """

    name: ClassVar[str]
    rule: ClassVar[str]
    thread: ClassVar[str]
    #: Allocators outlive everything by design, so one that is left at the end is no finding.
    immortal: ClassVar[bool] = False
    #: What programs have to say for it beyond what they do ("allocator tags on kptr fields").
    asks: ClassVar[str | None] = None
    #: The macro under which sources say it.
    macro: ClassVar[str | None] = None
    #: `object_event` and `misdirected` are only called if this is set: they cost at every object.
    watches_objects: ClassVar[bool] = False

    def to_json(self) -> dict[str, Any]:
        """What the policy knows, for others to read."""
        known = {f.name: _plain(getattr(self, f.name)) for f in fields(self)}
        return {"policy": self.name, **known}

    def refuse(self, facts: LoadFacts, view: View) -> Refusal | None:
        """Why this program must not be loaded, None if it may."""
        return None

    def loaded(self, facts: LoadFacts, view: View) -> Self:
        """A program was admitted and loaded."""
        return self

    def unloaded(self, program: int, view: View) -> Self:
        """A program's last descriptor is gone and a grace period has passed."""
        return self

    def walks(self, program: int, view: View) -> tuple[int, ...]:
        """The maps whose values are to be walked now that a program was unloaded, in that order.
        Asked after `unloaded`, when the program still holds its maps. Other programs run between
        any two elements of a walk."""
        return ()

    def walked(self, program: int, field: FieldId, allocator: int | None, view: View) -> Self:
        """A walk read one field of one element: an object of `allocator`, or NULL (None). A
        list or tree is read once for each allocator of which it has objects. For an element of an
        inner map, the field is the inner map's own."""
        return self

    def walk_ended(self, program: int, view: View) -> Self:
        """All elements of all maps that `walks` gave were read. The program's references to its
        maps are dropped after that."""
        return self

    def map_created(self, facts: MapFacts, view: View) -> Self:
        """A map was created."""
        return self

    def inner_inserted(self, outer: int, inner: int, view: View) -> Self:
        """User space put a map into a map of maps."""
        return self

    def map_freed(self, map_id: int, view: View) -> Self:
        """All values of a map were walked and their kptrs freed."""
        return self

    def btf_freed(self, btf: int, view: View) -> Self:
        """The last map and program with types in it are gone."""
        return self

    def allocator_closed(self, allocator: int, view: View) -> Self:
        """The allocator map is gone: from now on `waits_for` is asked."""
        return self

    def grace_period(self, view: View) -> Self:
        """A grace period has passed; called before anything is freed because of it."""
        return self

    def object_event(self, event: ObjectEvent, view: View) -> Self:
        """An object was allocated or freed."""
        return self

    def misdirected(self, event: ObjectEvent, view: View) -> str | None:
        """For schemes in which a free finds the allocator by way of the program and not of the
        object: why the free of `event` does not find the object's allocator, None if it does.
        Asked before `object_event`."""
        return None

    def allocator_destroyed(self, allocator: int) -> Self:
        """Its id will not be seen again."""
        return self

    def waits_for(self, allocator: int, view: View) -> tuple[str, ...]:
        """What keeps an allocator whose map is gone, a phrase each; empty: it may be destroyed."""
        return ()
