"""The maps of an object: the definitions in .maps, read from BTF, those without BTF (`legacy`), and
the data sections.

A definition is a variable of a struct type whose members are the map's attributes. `__uint`
members are pointers to an array of that length, `__ulong` ones an enum with one value, `__type`
ones pointers to the type, `values` an array of pointers (tools/lib/bpf/libbpf.c,
parse_btf_map_def).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bpfheap.btf import (
    Array,
    Btf,
    Datasec,
    DeclTag,
    Enum,
    Enum64,
    FuncProto,
    Member,
    Ptr,
    Struct,
    Var,
)
from bpfheap.elf.container import NOBITS, PROGBITS, Container, Section, Symbol
from bpfheap.elf.legacy import LegacyMaps, read_legacy
from bpfheap.elf.recipes import recipe_of
from bpfheap.errors import ElfError, RelocationError
from bpfheap.platform.maps import ALLOCATOR_NUMBER, ARENA_NUMBER, BY_NUMBER, PAGE_SIZE, Shape
from bpfheap.spec import MapSpec

MAPS = ".maps"
#: Where variables live that are in an arena (ARENA_SEC of libbpf).
ARENA_SECTION = ".addr_space.1"

#: Member of a definition -> field of MapSpec, for numbers.
_NUMBERS = {
    "type": "type",
    "max_entries": "max_entries",
    "map_flags": "flags",
    "numa_node": "numa_node",
    "key_size": "key_size",
    "value_size": "value_size",
    "pinning": "pinning",
    "map_extra": "map_extra",
}
#: Those that have 32 bits.
_U32 = frozenset(_NUMBERS) - {"map_extra"}
_TYPES = ("key", "value")
_VALUES = "values"
_ALLOCATORS = ("kptr_allocator", "elem_allocator")
#: What the header's __kptr_allocator puts before the name of the allocator map.
_ALLOCATOR_TAG = "allocator:"

_ARRAY_TYPE, _PROG_ARRAY_TYPE = 2, 3
_RDONLY_PROG = 1 << 7
#: The kernel allows two levels, an outer map and its inner maps.
_MAX_DEPTH = 2
_POINTER_SIZE = 8

_DATA_SECTIONS = (".data", ".rodata", ".bss")
#: Bytes of all data sections together. They are held in memory, and .bss may claim any size.
_MAX_DATA = 64 << 20


@dataclass(frozen=True, slots=True)
class ObjectMaps:
    """All maps of an object file."""

    by_name: dict[str, MapSpec]
    #: (index of section, byte in it) -> name of the map whose definition starts there.
    by_place: dict[tuple[int, int], str]
    #: Index of a data section -> name of its map.
    data_sections: dict[int, str]
    #: What users should know of how they were read.
    notes: tuple[str, ...]


def read_maps(container: Container, btf: Btf) -> ObjectMaps:
    """All maps of an object. Raises ElfError for a definition that is no map's, BtfError where BTF
    itself is broken, and RelocationError for an initialiser that points to no map."""
    by_name: dict[str, MapSpec] = {}
    by_place: dict[tuple[int, int], str] = {}

    def add(spec: MapSpec) -> None:
        if spec.name in by_name:
            raise ElfError(
                f"two maps are called {spec.name}", file=container.file, hint="rename one of them"
            )
        by_name[spec.name] = spec

    section = container.section_named(MAPS)
    if section is not None and section.size:
        definitions = _MapReader(container, section, btf)
        by_place = {(section.index, at): name for at, name in definitions.by_offset.items()}
        by_name = {spec.name: spec for spec in definitions.read()}
    legacy = read_legacy(container)
    for place, spec in legacy.by_place.items():
        add(spec)
        by_place[place] = spec.name
    data_sections: dict[int, str] = {}
    in_arena = container.section_named(ARENA_SECTION)
    if in_arena is not None and in_arena.size:
        arena = _arena(by_name.values(), in_arena, container.file)
        by_name[arena.name] = arena
        data_sections[in_arena.index] = arena.name
    for section, spec in _data_maps(container, btf):
        add(spec)
        data_sections[section.index] = spec.name
    return ObjectMaps(by_name, by_place, data_sections, _notes(legacy))


def _arena(specs: Iterable[MapSpec], section: Section, file: str) -> MapSpec:
    """The map that the variables of a section are in."""
    arena = next((spec for spec in specs if spec.type == ARENA_NUMBER), None)
    if arena is None:
        raise ElfError(
            f"section {section.name} has variables, and there is no arena for them",
            file=file,
            hint='define one in SEC(".maps"): BPF_MAP_TYPE_ARENA',
        )
    if section.size > arena.max_entries * PAGE_SIZE:
        raise ElfError(
            f"map {arena.name} is too small for the {section.size} bytes of {section.name}",
            file=file,
            hint=f"max_entries counts pages of {PAGE_SIZE} bytes",
        )
    return replace(arena, variables=section.data.ljust(section.size, b"\0"))


def _notes(legacy: LegacyMaps) -> tuple[str, ...]:
    if not legacy.partly_read:
        return ()
    first, more = legacy.partly_read[0], len(legacy.partly_read) - 1
    others = f" and {more} more" if more else ""
    return (
        f"what the definition of {first}{others} says behind map_flags is not read: it means "
        "something else to every loader (BTF definitions would say what it is)",
    )


# -- data sections


def _data_maps(container: Container, btf: Btf) -> list[tuple[Section, MapSpec]]:
    """One array map with one element for each data section that is not empty."""
    datasecs = {kind.name: type_id for type_id, kind in _types(btf) if isinstance(kind, Datasec)}
    found = []
    room = _MAX_DATA
    for section in container.sections:
        if section is None or section.type not in (PROGBITS, NOBITS) or not section.size:
            continue
        base = next(
            (b for b in _DATA_SECTIONS if section.name == b or section.name.startswith(f"{b}.")),
            None,
        )
        if base is None:
            continue
        room -= section.size
        if room < 0:
            raise ElfError(
                f"section {section.name} has {section.size} bytes; all data together may have "
                f"{_MAX_DATA}",
                file=container.file,
                hint="make the global variables smaller, or use an array map",
            )
        # Pointers in initialised data stay what the compiler left there, as with libbpf: where
        # things will be is not known, and a program could not use the number.
        data = section.data if section.type == PROGBITS else bytes(section.size)
        value = datasecs.get(section.name, 0)
        readonly = base == ".rodata"
        spec = data_map(section.name, data, btf, value, readonly=readonly, file=container.file)
        found.append((section, spec))
    return found


def data_map(name: str, data: bytes, btf: Btf, value: int, *, readonly: bool, file: str) -> MapSpec:
    """An array with one element, which is a section's data; `value` is the id of its DATASEC."""
    return MapSpec(
        name=name,
        type=_ARRAY_TYPE,
        key_size=4,
        value_size=len(data),
        max_entries=1,
        btf=btf,
        flags=_RDONLY_PROG if readonly else 0,
        value=value,
        data=data,
        readonly=readonly,
        file=file,
    )


def _types(btf: Btf) -> list[tuple[int, Any]]:
    return list(enumerate(btf.types))[1:]


# -- definitions


class _MapReader:
    """Makes a MapSpec of each variable in .maps."""

    def __init__(self, container: Container, section: Section, btf: Btf) -> None:
        self._container = container
        self._section = section
        self._btf = btf
        self._file = container.file
        self._tags = _allocator_tags(btf)
        self._variables = self._find()
        #: Offset in .maps -> name of the map.
        self.by_offset = {offset: name for name, offset, _ in self._variables}
        if len(self.by_offset) != len(self._variables):
            raise self._error(
                "two maps start at the same byte of .maps",
                "keep section .rel.BTF when stripping the object",
            )
        self._starts_sorted = sorted(self.by_offset)
        self._pointers = self._initialisers()
        self._pointer_offsets = sorted(self._pointers)
        self._unread_pointers = set(self._pointers)

    def read(self) -> list[MapSpec]:
        specs = [self._map(name, type_id, offset) for name, offset, type_id in self._variables]
        if self._unread_pointers:
            raise RelocationError(
                f"a pointer at byte {min(self._unread_pointers)} of {MAPS} is no value of a map",
                file=self._file,
                hint="only .values, .kptr_allocator and .elem_allocator can be initialised",
            )
        types = {spec.name: spec.type for spec in specs}
        if len(types) != len(specs):
            raise self._error("two maps have the same name", "rename one of them")
        for spec in [*specs, *(s.inner for s in specs if s.inner is not None)]:
            for allocator in (spec.kptr_allocator, spec.elem_allocator):
                if allocator is not None and types.get(allocator) != ALLOCATOR_NUMBER:
                    raise self._error(
                        f"map {spec.name}: {allocator} is no allocator map of this file",
                        "define it here too; maps of one name in several files are one map",
                    )
        return specs

    def _error(self, message: str, hint: str | None = None) -> ElfError:
        return ElfError(message, file=self._file, hint=hint)

    def _find(self) -> list[tuple[str, int, int]]:
        """(name, byte in .maps, type id) of each variable."""
        datasec = next(
            (k for _, k in _types(self._btf) if isinstance(k, Datasec) and k.name == MAPS), None
        )
        if datasec is None:
            raise self._error("section .maps has no BTF", "compile with -g")
        found = []
        for entry in datasec.vars:
            var = self._btf[entry.type]
            if not isinstance(var, Var):
                raise self._error(f"type {entry.type} in .maps is no variable")
            if entry.offset >= self._section.size:
                raise self._error(f"map {var.name} is out of section .maps")
            if not var.name.isprintable():
                raise self._error(f"{var.name!r} is no name of a map")
            found.append((var.name, entry.offset, var.type))
        return found

    # -- one definition

    def _map(self, name: str, type_id: int, offset: int) -> MapSpec:
        spec, struct = self._struct(name, type_id, depth=1)
        named: dict[str, Any] = {}
        for member in struct.members:
            at = offset + member.bit_offset // 8
            if member.name == _VALUES:
                named["inner_names"] = self._values(spec, at, offset + struct.size)
            elif member.name in _ALLOCATORS and getattr(spec, member.name) is None:
                if at not in self._pointers:
                    raise self._error(
                        f"map {name}: {member.name} names no allocator",
                        f"write __{member.name}(ma), or initialise it with .{member.name} = &ma",
                    )
                named[member.name] = self._pointee(spec, at, programs=False)
        return replace(spec, **named)

    def _struct(self, name: str, type_id: int, depth: int) -> tuple[MapSpec, Struct]:
        """A map as its type defines it, without initialisers, and that type."""
        type_id = self._btf.resolve(type_id)
        struct = self._btf[type_id]
        if not isinstance(struct, Struct):
            raise self._error(f"map {name} is no struct", "define it with __uint and __type")
        if depth > _MAX_DEPTH:
            raise self._error(f"map {name}: an inner map cannot hold maps")
        fields: dict[str, Any] = {"type": None, "key_size": 0, "value_size": 0, "max_entries": 0}
        values: Member | None = None
        for index, member in enumerate(struct.members):
            if member.name in _NUMBERS:
                fields[_NUMBERS[member.name]] = self._number(name, member)
            elif member.name in _TYPES:
                fields[member.name] = self._pointed(name, member)
            elif member.name == _VALUES:
                values = member
            elif member.name in _ALLOCATORS:
                fields[member.name] = self._tags.get((type_id, index))
            else:
                raise self._error(
                    f"map {name} has an unknown member {member.name!r}",
                    "known are " + ", ".join((*_NUMBERS, *_TYPES, _VALUES, *_ALLOCATORS)),
                )
        if not fields["type"]:
            raise self._error(f"map {name} has no type", "add __uint(type, BPF_MAP_TYPE_...)")
        for what in _TYPES:
            self._size(name, what, fields)
        if values is not None:
            fields["inner"] = self._template(name, values, fields["type"], depth)
            # What a program sees of an inner map or program is a 32-bit id.
            fields["value_size"] = fields["value_size"] or 4
        return MapSpec(name=name, btf=self._btf, file=self._file, **fields), struct

    def _size(self, name: str, what: str, fields: dict[str, Any]) -> None:
        """`key` implies `key_size`; where both are given they must agree."""
        type_id = fields.get(what)
        if type_id is None:
            return
        size = self._btf.size_of(type_id)
        given = fields[f"{what}_size"]
        if given and given != size:
            raise self._error(
                f"map {name}: {what}_size is {given}, but the type of {what} takes {size} bytes",
                f"leave {what}_size out",
            )
        fields[f"{what}_size"] = size

    def _number(self, name: str, member: Member) -> int:
        kind = self._btf[self._btf.resolve(member.type)]
        if isinstance(kind, Enum | Enum64) and len(kind.values) == 1:
            value = kind.values[0][1]
        elif isinstance(kind, Ptr):
            array = self._btf[self._btf.resolve(kind.type)]
            if not isinstance(array, Array):
                raise self._error(f"map {name}: {member.name} is no number", "write it with __uint")
            value = array.count
        else:
            raise self._error(f"map {name}: {member.name} is no number", "write it with __uint")
        if not 0 <= value < 1 << (32 if member.name in _U32 else 64):
            raise self._error(f"map {name}: {member.name} is {value}, which is out of range")
        return int(value)

    def _pointed(self, name: str, member: Member) -> int:
        kind = self._btf[self._btf.resolve(member.type)]
        if not isinstance(kind, Ptr):
            raise self._error(f"map {name}: {member.name} is no type", "write it with __type")
        return int(kind.type)

    def _template(self, name: str, member: Member, map_type: int, depth: int) -> MapSpec | None:
        """The inner map that `values` defines; None where the values are programs."""
        array = self._btf[self._btf.resolve(member.type)]
        pointer = self._btf[self._btf.resolve(array.type)] if isinstance(array, Array) else None
        if not isinstance(pointer, Ptr):
            raise self._error(f"map {name}: values is no array", "write it with __array")
        if isinstance(self._btf[self._btf.resolve(pointer.type)], FuncProto):
            return None
        row = BY_NUMBER.get(map_type)
        if row is None or not row.outer:
            raise self._error(
                f"map {name} has values, but its type holds no maps",
                "use BPF_MAP_TYPE_ARRAY_OF_MAPS or BPF_MAP_TYPE_HASH_OF_MAPS",
            )
        return self._struct(f"{name}.inner", pointer.type, depth + 1)[0]

    # -- initialisers

    def _initialisers(self) -> dict[int, tuple[Symbol, int]]:
        """Offset in .maps -> the pointer that is initialised there, as symbol and addend."""
        found = {}
        for reloc in self._container.relocs.get(self._section.index, ()):
            recipe = recipe_of(reloc, self._section, self._file)
            end = reloc.offset + _POINTER_SIZE
            if recipe.word != _POINTER_SIZE or end > len(self._section.data):
                raise RelocationError(
                    f"{recipe.name} at byte {reloc.offset} of section {MAPS}, "
                    "where no pointer can be",
                    file=self._file,
                )
            addend = int.from_bytes(self._section.data[reloc.offset : end], "little")
            found[reloc.offset] = (reloc.symbol, addend)
        return found

    def _values(self, spec: MapSpec, start: int, end: int) -> tuple[str | None, ...]:
        """The initial content of a map of maps; `values` is the last member, without a length, so
        an initialiser makes the variable longer than its type."""
        after = bisect_left(self._starts_sorted, end)
        limit = [*self._starts_sorted[after : after + 1], self._section.size][0]
        slots: dict[int, str] = {}
        for i in range(
            bisect_left(self._pointer_offsets, start), bisect_left(self._pointer_offsets, limit)
        ):
            slot, rest = divmod(self._pointer_offsets[i] - start, _POINTER_SIZE)
            # In a hash table the number is the key.
            if rest or (slot >= spec.max_entries and BY_NUMBER[spec.type].shape is Shape.ARRAY):
                raise self._error(
                    f"map {spec.name}: value {slot} is out of it",
                    f"it has {spec.max_entries} entries",
                )
            programs = spec.type == _PROG_ARRAY_TYPE
            slots[slot] = self._pointee(spec, self._pointer_offsets[i], programs=programs)
        return tuple(slots.get(i) for i in range(max(slots, default=-1) + 1))

    def _pointee(self, spec: MapSpec, at: int, *, programs: bool) -> str:
        symbol, addend = self._pointers[at]
        self._unread_pointers.discard(at)
        if symbol.section == self._section.index:
            name = self.by_offset.get(symbol.value + addend)
            if name is not None:
                return name
        target = self._container.section_at(symbol.section)
        if programs and target is not None and target.executable and symbol.type == "STT_FUNC":
            return symbol.name
        raise RelocationError(
            f"map {spec.name} points to {symbol.name or 'something'}, which is no map of this file",
            file=self._file,
            hint="define the map in this file too",
        )


def _allocator_tags(btf: Btf) -> Mapping[tuple[int, int], str]:
    """(struct's type id, index of member) -> allocator map."""
    return {
        (kind.type, kind.component): kind.name.removeprefix(_ALLOCATOR_TAG)
        for _, kind in _types(btf)
        if isinstance(kind, DeclTag) and kind.name.startswith(_ALLOCATOR_TAG)
    }
