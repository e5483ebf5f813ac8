"""What policies are told: flows with names resolved to the objects of one runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from bpfheap.verifier.flows import FlowKind, Holder


class FieldId(NamedTuple):
    """A kptr field, list head or tree root.

    `owner`: a map's id (for INNER: the outer map's), or a type's name.
    `path`: where it is in the map's value or the type.

    A TYPE field is known by its struct's name alone; two structs of one name and different
    layout count as one, which can only make a policy more careful.
    """

    holder: Holder
    owner: int | str
    path: str


class FlowFact(NamedTuple):
    """A flow as in verifier.flows; `source` is an allocator's id or a field."""

    kind: FlowKind
    source: int | FieldId | None
    field: FieldId | None


class FieldFact(NamedTuple):
    """What the definition of a field says.

    `type`: the name of the struct that it points at or holds.
    `allocator`: the name of the allocator map in its tag; None without such a tag.
    """

    field: FieldId
    type: str
    allocator: str | None = None


class MapFacts(NamedTuple):
    """A map that was created.

    `map`: its id.
    `fields`: the fields of its values that hold objects.
    `allocator`: the id of the allocator that it names, if it is an allocator map.
    `kptr_allocator`: the id of the allocator that its definition asks for.
    """

    map: int
    name: str
    fields: tuple[FieldFact, ...] = ()
    allocator: int | None = None
    kptr_allocator: int | None = None


@dataclass(frozen=True, slots=True)
class LoadFacts:
    """A program about to be loaded.

    `program`: its id.
    `btf`: the id of the BTF object with its types.
    `maps`: the ids of all maps that its code names.
    `allocators`: the ids of the allocators that it may allocate from.
    `flows`: what it does with objects.
    `fields`: the definitions of all fields that its flows name.
    """

    program: int
    name: str
    btf: int
    maps: tuple[int, ...]
    allocators: tuple[int, ...]
    flows: tuple[FlowFact, ...]
    fields: tuple[FieldFact, ...] = ()

    def definition(self, field: FieldId) -> FieldFact:
        """Raises KeyError for a field that no flow names."""
        for fact in self.fields:
            if fact.field == field:
                return fact
        raise KeyError(field)


class Refusal(str):
    """Why a program must not be loaded.

    `allocator`: the id of the allocator that stands in the way, None if none does. Once it has
        neither a map nor objects, the field that it keeps is stuck.
    """

    __slots__ = ("allocator",)
    allocator: int | None

    def __new__(cls, reason: str, allocator: int | None = None) -> Refusal:
        made = super().__new__(cls, reason)
        made.allocator = allocator
        return made


class View(Protocol):
    """What a policy may look at while it decides."""

    def live(self, allocator: int) -> int:
        """Objects that programs, maps or other objects own, counted exactly."""

    def inner_maps(self, map_id: int) -> tuple[int, ...]:
        """What a map of maps holds now; nothing for other maps."""

    def btf_of(self, map_id: int) -> int:
        """The BTF object that the map was created with."""

    def kptr_allocator(self, map_id: int) -> int | None:
        """The allocator that the map's definition names (`kptr_allocator`)."""

    def map_name(self, map_id: int) -> str: ...

    def allocator_name(self, allocator: int) -> str: ...
