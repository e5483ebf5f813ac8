"""What policies are told: names of maps and fields become those of the objects of one system."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bpfheap.btf import Btf, KptrField, Struct, kptr_fields
from bpfheap.lifetime import FieldFact, FieldId, FlowFact, LoadFacts, MapFacts
from bpfheap.runtime.machine import GLOBAL_ALLOCATOR_ID
from bpfheap.runtime.objects import MapObject
from bpfheap.spec import MapSpec, ProgramSpec
from bpfheap.verifier.flows import GLOBAL_ALLOCATOR, Field, Flow, Holder

#: What the header's __from puts before the name of an allocator map.
_TAG = "allocator:"


def kptrs_of(spec: MapSpec) -> tuple[KptrField, ...]:
    """The kptr fields of a map's values."""
    return kptr_fields(spec.btf, spec.value) if spec.value else ()


def map_facts(obj: MapObject, spec: MapSpec) -> MapFacts:
    """A map that was just created."""
    fields = (
        FieldFact(FieldId(Holder.MAP, obj.id, k.path), *_said(spec.btf, k)) for k in kptrs_of(spec)
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
        kptrs = kptr_fields(btf, btf.find(field.owner, Struct) or 0)
    else:
        spec = definition(field.owner)
        if field.holder is Holder.INNER and spec.inner is not None:
            spec = spec.inner
        btf, kptrs = spec.btf, kptrs_of(spec)
    said = (_said(btf, kptr) for kptr in kptrs if kptr.path == field.path)
    return FieldFact(field, *next(said, ("", None)))


def _said(btf: Btf, field: KptrField) -> tuple[str, str | None]:
    """The name of the struct that a field points at, and that of the allocator map in its tag."""
    tags = (tag.removeprefix(_TAG) for tag in field.tags if tag.startswith(_TAG))
    return getattr(btf[field.target], "name", ""), next(tags, None)


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
