"""What policies are told: flows with names resolved to the objects of one runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from bpfheap.verifier.flows import FlowKind, Holder


class FieldId(NamedTuple):
    """A kptr field. `owner` is a map's id (for INNER: the outer map's), or a type's name.

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


@dataclass(frozen=True, slots=True)
class LoadFacts:
    """A program about to be loaded. `maps` are all maps its code refers to, `allocators` those
    that it may allocate from, `btf` the object that its types live in."""

    program: int
    name: str
    btf: int
    maps: tuple[int, ...]
    allocators: tuple[int, ...]
    flows: tuple[FlowFact, ...]


class View(Protocol):
    """What a policy may look at while it decides."""

    def live(self, allocator: int) -> int:
        """Objects that programs, maps or other objects own, counted exactly."""

    def inner_maps(self, map_id: int) -> tuple[int, ...]:
        """What a map of maps holds now; nothing for other maps."""

    def map_name(self, map_id: int) -> str: ...

    def allocator_name(self, allocator: int) -> str: ...
