"""What policies are told: names of maps and fields become those of the objects of one system."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from bpfheap.btf import Btf, Struct, kptr_fields, special_fields
from bpfheap.lifetime import FieldFact, FieldId, FlowFact, LoadFacts, MapFacts
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID
from bpfheap.runtime.objects import MapObject
from bpfheap.spec import MapSpec, ProgramSpec
from bpfheap.verifier.flows import GLOBAL_ALLOCATOR, Field, Flow, Holder

#: What the header's __from puts before the name of an allocator map.
_TAG = "allocator:"


class OwningField(NamedTuple):
    """A field that holds objects of struct `type`: a kptr, a list head or a tree root. `allocator`
    is the allocator map that its tag names, None without one."""

    path: str
    type: str
    allocator: str | None = None


def owning_fields(spec: MapSpec) -> tuple[OwningField, ...]:
    """The fields of a map's values that hold objects."""
    return _owning(spec.btf, spec.value) if spec.value else ()


def _owning(btf: Btf, type_id: int) -> tuple[OwningField, ...]:
    kptrs = (
        OwningField(k.path, getattr(btf[k.target], "name", ""), _allocator_in(k.tags))
        for k in kptr_fields(btf, type_id)
    )
    heads = (
        OwningField(s.path, getattr(btf[s.contains.type], "name", ""), _allocator_in(s.tags))
        for s in special_fields(btf, type_id)
        if s.contains is not None
    )
    return (*kptrs, *heads)


def _allocator_in(tags: tuple[str, ...]) -> str | None:
    names = (tag.removeprefix(_TAG) for tag in tags if tag.startswith(_TAG))
    return next(names, None)


def map_facts(obj: MapObject, spec: MapSpec) -> MapFacts:
    """A map that was just created."""
    fields = (
        FieldFact(FieldId(Holder.MAP, obj.id, f.path), f.type, f.allocator)
        for f in owning_fields(spec)
    )
    return MapFacts(obj.id, obj.name, tuple(fields), obj.allocator, obj.kptr_allocator)


def load_facts(
    program: int,
    spec: ProgramSpec,
    btf: int,
    flows: tuple[Flow, ...],
    maps: Mapping[str, MapObject],
    definition: Callable[[int], MapSpec],
) -> LoadFacts:
    """A program about to be loaded. `maps` are those that its code names, `definition` gives a
    map's by its id."""
    bound = tuple(_bind(flow, maps) for flow in flows)
    named = (at for flow in bound for at in (flow.source, flow.field))
    fields = dict.fromkeys(at for at in named if isinstance(at, FieldId))
    allocators = (obj.allocator for obj in maps.values())
    return LoadFacts(
        program,
        spec.name,
        btf,
        tuple(obj.id for obj in maps.values()),
        tuple(a for a in allocators if a is not None),
        bound,
        tuple(_field_fact(field, spec.btf, definition) for field in fields),
    )


def _field_fact(field: FieldId, btf: Btf, definition: Callable[[int], MapSpec]) -> FieldFact:
    """What the map's definition, or the program's BTF for a field of an object, says of it."""
    if isinstance(field.owner, str):
        fields = _owning(btf, btf.find(field.owner, Struct) or 0)
    else:
        spec = definition(field.owner)
        if field.holder is Holder.INNER and spec.inner is not None:
            spec = spec.inner
        fields = owning_fields(spec)
    found = next((f for f in fields if f.path == field.path), OwningField(field.path, ""))
    return FieldFact(field, found.type, found.allocator)


def _bind(flow: Flow, maps: Mapping[str, MapObject]) -> FlowFact:
    source: int | FieldId | None
    if isinstance(flow.source, Field):
        source = _bind_field(flow.source, maps)
    elif flow.source == GLOBAL_ALLOCATOR:
        source = GLOBAL_ALLOCATOR_ID
    elif flow.source is not None:
        source = maps[flow.source].allocator
    else:
        source = None
    return FlowFact(
        flow.kind, source, None if flow.field is None else _bind_field(flow.field, maps)
    )


def _bind_field(field: Field, maps: Mapping[str, MapObject]) -> FieldId:
    owner = field.name if field.holder is Holder.TYPE else maps[field.name].id
    return FieldId(field.holder, owner, field.path)
