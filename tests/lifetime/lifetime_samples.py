"""Facts for the tests of policies: maps, fields, programs, and a System in miniature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bpfheap.events import ObjectEvent, ObjectKind
from bpfheap.lifetime import FieldFact, FieldId, FlowFact, LoadFacts, MapFacts, Policy
from bpfheap.verifier.flows import FlowKind, Holder

#: Allocators; MA and MB are the maps that name them.
A, B, GLOBAL = 101, 102, 0
MA, MB = 11, 12
M1, M2, M3, OUTER, X1, X2 = 1, 2, 3, 4, 5, 6
NAMES = {M1: "m1", M2: "m2", M3: "m3", OUTER: "outer", X1: "x1", X2: "x2", MA: "A", MB: "B"}
F1, F2, F3, FX1, FX2 = (FieldId(Holder.MAP, m, "ptr") for m in (M1, M2, M3, X1, X2))
#: In all maps inside OUTER; in objects.
INNER = FieldId(Holder.INNER, OUTER, "ptr")
PART = FieldId(Holder.TYPE, "node", "next")
#: The BTF object of everything that has no other one.
BTF = 60


@dataclass
class Situation:
    """A view that holds what a test puts there."""

    counts: dict[int, int] = field(default_factory=dict)
    inner: dict[int, tuple[int, ...]] = field(default_factory=dict)
    btfs: dict[int, int] = field(default_factory=dict)
    kptr_allocators: dict[int, int] = field(default_factory=dict)

    def live(self, allocator: int) -> int:
        return self.counts.get(allocator, 0)

    def inner_maps(self, map_id: int) -> tuple[int, ...]:
        return self.inner.get(map_id, ())

    def btf_of(self, map_id: int) -> int:
        return self.btfs.get(map_id, BTF)

    def kptr_allocator(self, map_id: int) -> int | None:
        return self.kptr_allocators.get(map_id)

    def map_name(self, map_id: int) -> str:
        return NAMES[map_id]

    def allocator_name(self, allocator: int) -> str:
        return {A: "A", B: "B", GLOBAL: "(global)"}[allocator]


VIEW = Situation()


def store(allocator: int, to: FieldId) -> FlowFact:
    return FlowFact(FlowKind.STORE, allocator, to)


def move(source: FieldId, to: FieldId) -> FlowFact:
    return FlowFact(FlowKind.MOVE, source, to)


def take(source: FieldId) -> FlowFact:
    return FlowFact(FlowKind.TAKE, None, source)


def free(what: int | FieldId) -> FlowFact:
    """Of a fresh object of an allocator, or of one out of a field."""
    if isinstance(what, int):
        return FlowFact(FlowKind.FREE, what, None)
    return FlowFact(FlowKind.FREE, None, what)


def load(
    *flows: FlowFact,
    name: str = "p",
    program: int = 50,
    btf: int = BTF,
    maps: tuple[int, ...] | None = None,
    types: Mapping[FieldId, str] | None = None,
    tags: Mapping[FieldId, str] | None = None,
) -> LoadFacts:
    """A program with those flows. Fields point at a struct foo and have no tag unless told."""
    named = (at for flow in flows for at in (flow.source, flow.field))
    fields = dict.fromkeys(at for at in named if isinstance(at, FieldId))
    owners = dict.fromkeys(f.owner for f in fields if isinstance(f.owner, int))
    allocators = dict.fromkeys(f.source for f in flows if isinstance(f.source, int) and f.source)
    return LoadFacts(
        program,
        name,
        btf,
        (*owners,) if maps is None else maps,
        (*allocators,),
        flows,
        tuple(FieldFact(f, (types or {}).get(f, "foo"), (tags or {}).get(f)) for f in fields),
    )


def created(map_id: int, *fields: FieldFact, names: int | None = None) -> MapFacts:
    """A map with those fields; `names`: the allocator that its definition asks for."""
    return MapFacts(map_id, NAMES[map_id], fields, kptr_allocator=names)


def allocator_map(map_id: int, allocator: int) -> MapFacts:
    return MapFacts(map_id, NAMES[map_id], allocator=allocator)


def after(policy: Policy, *loads: LoadFacts, view: Situation = VIEW) -> Policy:
    """Loads that have to be admitted."""
    for facts in loads:
        assert policy.refuse(facts, view) is None
        policy = policy.loaded(facts, view)
    return policy


def unloaded(
    policy: Policy,
    program: int,
    values: Mapping[FieldId, int] | None = None,
    view: Situation = VIEW,
) -> Policy:
    """An unload with its walk, as the System does it. All maps have the field that is in `values`
    or would be called ptr; `values` are those that are not NULL."""
    policy = policy.unloaded(program, view)
    maps = policy.walks(program, view)
    for map_id in maps:
        at = FieldId(Holder.MAP, map_id, "ptr")
        policy = policy.walked(program, at, (values or {}).get(at), view)
    return policy.walk_ended(program, view) if maps else policy


def freed(policy: Policy, *maps: int, view: Situation = VIEW) -> Policy:
    for map_id in maps:
        policy = policy.map_freed(map_id, view)
    return policy


def event(
    kind: ObjectKind, allocator: int, *, program: int | None = 50, struct: str = "foo", cpu: int = 0
) -> ObjectEvent:
    return ObjectEvent(kind, allocator, cpu, program, struct)


def held_by(*maps: str) -> tuple[str, ...]:
    """What waits_for says of references that maps hold."""
    return tuple(f"the reference that map {name} holds" for name in maps)
