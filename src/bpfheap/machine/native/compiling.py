"""What the compiler is told of a program that was loaded, and where to find what it refers to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpfheap.btf import SpecialKind
from bpfheap.isa import instructions
from bpfheap.machine.layout import round_up
from bpfheap.machine.native._core import SHAPES, Map, Unit
from bpfheap.platform.calls import CALL_BY_NAME, Course
from bpfheap.spec import ProgramSpec, RefKind
from bpfheap.verifier.facts import Facts

if TYPE_CHECKING:
    from bpfheap.machine.native.heaps import TypedUnit
    from bpfheap.machine.native.jit.source import Source


@dataclass(frozen=True, slots=True)
class Origin:
    """Where objects of a program may come from.

    `heap`: the map of their allocator, "" for bpf_obj_new.
    `type_id`: their type's number in the program's BTF.
    `unit`: the core's unit for them.
    `typed`: the same, with what is known of the type.
    """

    heap: str
    type_id: int
    unit: Unit
    typed: TypedUnit


@dataclass(frozen=True, slots=True)
class NamedMap:
    """A map as the program names it.

    `map`: the core's.
    `key_size`, `value_size`, `max_entries`: as its definition has them.
    `per_cpu`: has an element a value for each CPU?
    `pointers`: are values 8 bytes, of which 0 means that there is none?
    `shape`: its index in the core's SHAPES.
    """

    map: Map
    key_size: int
    value_size: int
    max_entries: int
    per_cpu: bool
    pointers: bool
    shape: int

    @property
    def is_played(self) -> bool:
        """Does Python keep its elements?"""
        return SHAPES[self.shape] == "played"


def courses(calls: Mapping[int, str | int]) -> set[Course | None]:
    """How a program goes on from its calls; None from one that is chosen by number."""
    rows = (CALL_BY_NAME.get(str(name)) for name in calls.values())
    return {None if row is None else row.course for row in rows}


def is_brief(spec: ProgramSpec, calls: Mapping[int, str | int]) -> bool:
    """Does a run end soon, and wait for nobody? The verifier has walked all of it then."""
    if courses(calls) - {Course.RETURNS}:
        return False
    return not any(op.unbounded for _, op in instructions(spec.insns))


def source_of(
    spec: ProgramSpec,
    facts: Facts | None,
    maps: Mapping[str, NamedMap],
    origins: tuple[Origin, ...],
    calls: Mapping[int, str | int],
    *,
    asked: Collection[str],
    variables: Mapping[str, tuple[int, int]],
    counted: bool,
    hardened: bool,
    watched: bool,
    cpus: int,
) -> tuple[Source, dict[str, int]]:
    """And the addresses that its symbols stand for."""
    from bpfheap.machine.native.jit.source import MapShape, Site, Source

    addresses: dict[str, int] = {}
    shapes: dict[str, MapShape] = {}
    for number, (name, named) in enumerate(sorted(maps.items())):
        memory, size, mask, value_at = named.map.layout
        symbol = f"map.{number}"
        addresses[symbol] = named.map.pointer
        addresses[f"{symbol}.memory"] = memory
        shapes[name] = MapShape(
            symbol,
            SHAPES[named.shape],
            named.key_size,
            named.value_size,
            named.max_entries,
            named.map.stride,
            named.per_cpu,
            named.pointers,
            size,
            mask,
            value_at,
        )
    symbols: dict[str, tuple[str, int]] = {}
    for number, (name, (address, size)) in enumerate(sorted(variables.items())):
        addresses[f"variable.{number}"] = address
        symbols[name] = (f"variable.{number}", size)
    sites: list[Site] = []
    for number, origin in enumerate(origins):
        addresses[f"unit.{number}"] = origin.unit.pointer
        counts = any(s.kind is SpecialKind.REFCOUNT for s in origin.typed.type.special)
        size = round_up(origin.typed.type.size)
        plain = not counts and not watched
        bare = plain and not origin.typed.type.kptrs and not origin.typed.type.special
        sites.append(Site(f"unit.{number}", origin.heap, origin.type_id, size, plain, bare))
    refs = spec.refs.items()
    source = Source(
        spec.name,
        spec.insns,
        facts,
        maps={slot: ref.name for slot, ref in refs if ref.kind is RefKind.MAP},
        values={
            slot: (ref.name, ref.offset) for slot, ref in refs if ref.kind is RefKind.MAP_VALUE
        },
        functions={slot: ref.target for slot, ref in refs if ref.kind is RefKind.FUNC},
        variables={slot: symbols[ref.name] for slot, ref in refs if ref.kind is RefKind.KSYM},
        calls={slot: name if isinstance(name, str) else None for slot, name in calls.items()},
        asked=frozenset(asked),
        shapes=shapes,
        sites=tuple(sites),
        counted=counted,
        hardened=hardened,
        watched=watched,
        cpus=cpus,
        lines=spec.lines,
        file=spec.file,
    )
    return source, addresses
