"""What there is to explore: the maps, programs and map contents of a scenario, looked at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bpfheap.errors import UsageError
from bpfheap.explore.scenario import Bounds, Scenario
from bpfheap.runtime.loader import creation_order, loaded_programs, program_slots
from bpfheap.spec import MapSpec, ObjectSpec, ProgramSpec
from bpfheap.verifier import Options, Verdict, verify
from bpfheap.verifier.flows import FlowKind


class MapPlan(NamedTuple):
    """A map that user space creates, as the first file that names it defines it."""

    spec: MapSpec
    file: int


class ProgramPlan(NamedTuple):
    """A program that user space loads.

    `file`: the number of its file.
    `maps`: the file's definitions of the maps that its code names, and of the arrays of programs
        that the file puts it into.
    `sections`: the data sections that its code names.
    """

    label: str
    spec: ProgramSpec
    verdict: Verdict
    file: int
    maps: Mapping[str, MapSpec]
    sections: Mapping[str, MapSpec]


class InsertPlan(NamedTuple):
    """A map that user space may put into a map of maps, and under which key."""

    outer: str
    key: bytes
    inner: str


class FieldStore(NamedTuple):
    """A program stores new objects into a field.

    `map`: the map, or struct, that the field is part of.
    `field`: the field, with that name in front.
    `allocator`: the allocator map that the objects come from.
    """

    map: str
    field: str
    allocator: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Maps are by name, programs by label: their name, with the file's in front where two files
    have a program of one name."""

    files: tuple[ObjectSpec, ...]
    bounds: Bounds
    maps: dict[str, MapPlan] = field(hash=False)
    programs: dict[str, ProgramPlan] = field(hash=False)
    inserts: tuple[InsertPlan, ...]
    pins: frozenset[str]

    def stores(self, label: str) -> frozenset[FieldStore]:
        """What a program may fill with objects of which allocator."""
        return frozenset(
            FieldStore(flow.field.name, str(flow.field), str(flow.source))
            for flow in self.programs[label].verdict.flows
            if flow.kind is FlowKind.STORE and flow.field is not None
        )

    def creates(self, name: str) -> int:
        """How often a map may be created. A program that is loaded again wants its maps again,
        except those that are pinned so that they stay."""
        bounds = self.bounds
        return bounds.creates if name in self.pins else max(bounds.creates, bounds.loads)


def plan_of(scenario: Scenario, macro: str | None = None) -> Plan:
    """Verify all programs and sort out the maps. `macro` is defined in the sources, for schemes
    that ask for more than programs say without.

    Raises VerifierError for a program that is rejected, LoadRefused for maps that cannot be there
    together, UsageError for a scenario without a program.
    """
    files = scenario.compiled(macro)
    maps: dict[str, MapPlan] = {}
    programs: dict[str, ProgramPlan] = {}
    names = [p.name for f in files for p in loaded_programs(f)]
    for number, obj in enumerate(files):
        for spec in creation_order(obj):
            if spec.data is None:
                maps.setdefault(spec.name, MapPlan(spec, number))
        for program in loaded_programs(obj):
            verdict = verify(obj, program, Options(facts=True))
            if verdict.error is not None:
                raise verdict.error
            named = {ref.name for ref in program.refs.values()}
            needed = [
                spec
                for spec in obj.maps.values()
                if spec.name in named or program.name in program_slots(spec).values()
            ]
            label = program.name
            if names.count(label) > 1:
                label = f"{scenario.files[number].name}:{label}"
            programs[label] = ProgramPlan(
                label,
                program,
                verdict,
                number,
                {m.name: m for m in needed if m.data is None},
                {m.name: m for m in needed if m.data is not None},
            )
    if not programs:
        raise UsageError(f"scenario {scenario.name} has no program")
    used_maps = _used(programs, maps, scenario)
    return Plan(
        files,
        scenario.bounds,
        {name: m for name, m in maps.items() if name in used_maps},
        programs,
        tuple(_insert(insert, maps) for insert in scenario.inserts),
        frozenset(scenario.pins),
    )


def _used(
    programs: Mapping[str, ProgramPlan], maps: Mapping[str, MapPlan], scenario: Scenario
) -> set[str]:
    """The maps that programs name, that user space handles, and those that these need."""
    todo = [name for p in programs.values() for name in p.maps]
    todo += [name for i in scenario.inserts for name in (i.outer, i.inner)]
    todo += scenario.pins
    used: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in used and name in maps:
            used.add(name)
            todo += maps[name].spec.needs
    return used


def _insert(insert: tuple[str, int, str], maps: Mapping[str, MapPlan]) -> InsertPlan:
    outer, key, inner = insert
    return InsertPlan(outer, key.to_bytes(maps[outer].spec.key_size, "little"), inner)
