"""Map definitions without BTF: one struct bpf_map_def for each map, in a section "maps" or
"maps/NAME".

libbpf reads them up to version 0.8, cilium/ebpf still does. All structs of that name begin with the
same five numbers. What follows is different for every loader, and of no account to the verifier,
but for the template of a map of maps.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from bpfheap.btf import Btf
from bpfheap.elf.container import PROGBITS, Container, Section, Symbol
from bpfheap.errors import ElfError
from bpfheap.platform.maps import BY_NUMBER
from bpfheap.spec import MapSpec

_MAPS = "maps"
#: type, key_size, value_size, max_entries and map_flags, which may be missing.
_KNOWN = struct.Struct("<5I")
_LEAST = 16
#: What an element of a map of maps is for programs: a 32-bit id.
_ID_SIZE = 4

#: struct bpf_map_def of the kernel's samples: inner_map_idx and numa_node behind the known
#: members. The former is the template's number among the file's maps (bpf_load.c, load_maps).
_SAMPLES = struct.Struct("<20xI4x")
#: struct bpf_elf_map of iproute2: id, pinning, inner_id and inner_idx behind the known members.
#: inner_id is the template's id (lib/bpf_legacy.c, bpf_maps_attach_all).
_IPROUTE2 = struct.Struct("<20xI4xI")


@dataclass(frozen=True, slots=True)
class LegacyMaps:
    """The maps of an object that are defined without BTF."""

    #: (index of section, byte in it) -> the map whose definition starts there, in file order.
    by_place: dict[tuple[int, int], MapSpec]
    #: The maps whose definitions say more than is read.
    partly_read: tuple[str, ...]


def read_legacy(container: Container) -> LegacyMaps:
    """Raises ElfError where definitions cannot be told apart, or one is no map's."""
    raw = {
        (section.index, symbol.value): (symbol.name, data)
        for section in container.sections
        if section is not None and _holds_definitions(section)
        for symbol, data in _definitions(container, section)
    }
    plain = [_plain(name, data, container.file) for name, data in raw.values()]
    definitions = [data for _, data in raw.values()]
    found = {}
    partly = []
    for place, spec, data in zip(raw, plain, definitions, strict=True):
        row = BY_NUMBER.get(spec.type)
        if row is not None and row.outer:
            found[place] = _with_template(spec, data, plain, definitions)
        else:
            found[place] = spec
            if any(data[_KNOWN.size :]):
                partly.append(spec.name)
    return LegacyMaps(found, tuple(partly))


def _holds_definitions(section: Section) -> bool:
    named = section.name == _MAPS or section.name.startswith(f"{_MAPS}/")
    return named and section.type == PROGBITS and not section.executable and section.size > 0


def _definitions(container: Container, section: Section) -> list[tuple[Symbol, bytes]]:
    """Nothing says how long one is, but all of a section have the same length (libbpf 0.8,
    bpf_object__init_user_maps)."""

    def bad(message: str, hint: str) -> ElfError:
        return ElfError(message, file=container.file, hint=hint)

    symbols = sorted(
        (
            s
            for s in container.symbols
            if s.section == section.index and s.name and s.type != "STT_SECTION"
        ),
        key=lambda s: s.value,
    )
    what = f"section {section.name!r} ({section.size} bytes)"
    size, rest = divmod(section.size, len(symbols)) if symbols else (0, 0)
    if not symbols or rest:
        raise bad(
            f"{what} has {len(symbols)} maps, which cannot all have the same size",
            "define all maps with the same struct, and keep their symbols",
        )
    if size < _LEAST:
        raise bad(
            f"{what} has {len(symbols)} maps of {size} bytes, which is too short for a map",
            "a definition begins with type, key_size, value_size, max_entries",
        )
    for number, symbol in enumerate(symbols):
        if symbol.value != number * size:
            raise bad(
                f"map {symbol.name} is at byte {symbol.value} of {what}, where no definition "
                f"starts: each has {size} bytes",
                "define all maps with the same struct",
            )
    return [(s, section.data[s.value : s.value + size]) for s in symbols]


def _plain(name: str, data: bytes, file: str) -> MapSpec:
    """A map as the members that all loaders know define it."""
    kind, key, value, entries, flags = _KNOWN.unpack(data[: _KNOWN.size].ljust(_KNOWN.size, b"\0"))
    if not kind:
        raise ElfError(
            f"map {name} has no type", file=file, hint="initialise it with .type = BPF_MAP_TYPE_..."
        )
    return MapSpec(name, kind, key, value, entries, Btf.EMPTY, flags=flags, file=file)


def _with_template(
    outer: MapSpec, data: bytes, maps: list[MapSpec], definitions: list[bytes]
) -> MapSpec:
    """A map of maps with its template, or without one where the definition names none that can be:
    the kernel creates no such map."""
    number = -1
    if len(data) == _SAMPLES.size:
        (number,) = _SAMPLES.unpack(data)
    elif len(data) >= _IPROUTE2.size:
        _, wanted = _IPROUTE2.unpack_from(data)
        ids = [_IPROUTE2.unpack_from(d)[0] if len(d) >= _IPROUTE2.size else 0 for d in definitions]
        number = ids.index(wanted) if wanted and wanted in ids else -1
    outer = replace(outer, value_size=outer.value_size or _ID_SIZE)
    if not 0 <= number < len(maps):
        return outer
    inner = maps[number]
    row = BY_NUMBER.get(inner.type)
    if row is not None and row.outer:
        return outer
    return replace(outer, inner=replace(inner, name=f"{outer.name}.inner"))
