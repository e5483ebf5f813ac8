"""What users change of a file before it is loaded: constants, and how large maps are, as a loader
does through libbpf's skeletons and bpf_map__set_max_entries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bpfheap.btf import Array, Btf, Datasec, Enum, Enum64, Float, Int, Ptr, Var
from bpfheap.errors import UsageError, among
from bpfheap.platform.maps import (
    BY_NUMBER,
    DEEPEST_STACK,
    Holds,
    MapFlag,
    MapType,
    Shape,
    stack_entry,
)
from bpfheap.runtime.values import pack
from bpfheap.spec import MapSpec, ObjectSpec

_RODATA = ".rodata"
_BOOL = 4
_ENTRIES = range(1, 1 << 32)
#: Follows the name of a map of maps, and names the template of its inner maps.
_INNER = ".inner"
#: What maps have that say nothing of it: elements, and a ring buffer's bytes.
_MANY = 10240
_RING = 256 * 1024
#: Whose elements libbpf counts itself, or its linker.
_SIZED = frozenset({Holds.EVENTS, Holds.PROGRAMS})


def constants(obj: ObjectSpec) -> dict[str, str]:
    """The variables that `with_rodata` sets, with the map that each is in."""
    return {
        var.name: spec.name
        for spec in obj.maps.values()
        if _is_constant(spec)
        for var, _ in _variables(spec)
    }


def with_rodata(obj: ObjectSpec, values: Mapping[str, Any]) -> ObjectSpec:
    """The file with other values of its constants (`const volatile` variables). The verifier knows
    them, so what they rule out is not walked.

    Integers and enums take int (enums their values' names, too), bool bool, char arrays str or
    bytes, other arrays lists, structs mappings. Raises UsageError for a name that is no constant
    of the file, and for a value that does not fit.
    """
    _check_names(values, "constants")
    if not values:
        return obj
    known = constants(obj)
    changed = {name: bytearray(obj.maps[name].data or b"") for name in known.values()}
    for name, value in values.items():
        if name not in known:
            raise _unknown(obj, str(name), list(known))
        spec = obj.maps[known[name]]
        var, at = next((v, at) for v, at in _variables(spec) if v.name == name)
        try:
            data = _encoded(spec.btf, var.type, value, name)
        except UsageError as error:
            raise error.at(obj.file) from None
        changed[spec.name][at : at + len(data)] = data
    maps = {
        name: replace(spec, data=bytes(changed[name])) if name in changed else spec
        for name, spec in obj.maps.items()
    }
    return replace(obj, maps=maps)


def sized(obj: ObjectSpec) -> list[str]:
    """The names of what `with_entries` sets: maps, and templates of inner maps as `outer.inner`."""
    own = [spec for spec in obj.maps.values() if spec.data is None]
    return [
        name
        for spec in own
        for name in (spec.name, *([f"{spec.name}{_INNER}"] if spec.inner is not None else ()))
    ]


def with_entries(obj: ObjectSpec, entries: Mapping[str, int]) -> ObjectSpec:
    """The file with other maps' `max_entries`, or those of the inner maps of a map of maps, as
    `outer.inner`. Raises UsageError for a name that is no map of the file, and for a number that
    no map has."""
    _check_names(entries, "maps")
    maps = dict(obj.maps)
    known = sized(obj)
    for name, count in entries.items():
        if name not in known:
            raise UsageError(f"there is no map {name}", file=obj.file, hint=among(known, str(name)))
        if isinstance(count, bool) or not isinstance(count, int) or count not in _ENTRIES:
            raise UsageError(f"map {name} cannot have {count!r} entries", file=obj.file)
        spec = maps[name if name in maps else name.removesuffix(_INNER)]
        if spec.name == name or spec.inner is None:
            maps[spec.name] = replace(spec, max_entries=count)
        else:
            maps[spec.name] = replace(spec, inner=replace(spec.inner, max_entries=count))
    return replace(obj, maps=maps)


def with_open_sizes(obj: ObjectSpec) -> ObjectSpec:
    """The file with sizes for the maps that have none in it. Its own loader would set them, and
    there is none: what is taken in their place is told in `notes`."""
    maps, notes = dict(obj.maps), list(obj.notes)
    for spec in obj.maps.values():
        row = BY_NUMBER.get(spec.type)
        if row is None or spec.data is not None:
            continue
        entries = spec.max_entries or _entries_of(row)
        size = spec.value_size
        if row.holds is Holds.STACKS and not size:
            size = DEEPEST_STACK * stack_entry(spec.flags & MapFlag.STACK_BUILD_ID)
        if (entries, size) == (spec.max_entries, spec.value_size):
            continue
        maps[spec.name] = replace(spec, max_entries=entries, value_size=size)
        missing = [
            (what, taken)
            for what, before, taken in (
                ("max_entries", spec.max_entries, entries),
                ("value_size", spec.value_size, size),
            )
            if before != taken
        ]
        notes.append(
            f"map {spec.name} leaves {' and '.join(what for what, _ in missing)} to whoever loads "
            f"it, without which Linux makes none: {' and '.join(str(n) for _, n in missing)} "
            f"{'is' if len(missing) == 1 else 'are'} taken"
        )
    return replace(obj, maps=maps, notes=tuple(notes))


def _entries_of(row: MapType) -> int:
    """0 for what has none, or gets as many as there are CPUs."""
    if row.holds is Holds.RECORDS:
        return _RING
    return _MANY if row.counted and row.shape is not Shape.NONE and row.holds not in _SIZED else 0


def _check_names(given: object, what: str) -> None:
    if not isinstance(given, Mapping):
        raise UsageError(f"{what} are given by their names, as a mapping, not as {given!r:.80}")


def read_value(text: str) -> Any:
    """A value as it is given on the command line: JSON, a number as C has it, or plain text."""
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _is_constant(spec: MapSpec) -> bool:
    return spec.data is not None and (spec.name == _RODATA or spec.name.startswith(f"{_RODATA}."))


def _variables(spec: MapSpec) -> list[tuple[Var, int]]:
    """Those of a data section, each with its place."""
    section = spec.btf[spec.value] if spec.value else None
    if not isinstance(section, Datasec):
        return []
    found = ((spec.btf[entry.type], entry.offset) for entry in section.vars)
    return [(var, at) for var, at in found if isinstance(var, Var)]


def _unknown(obj: ObjectSpec, name: str, known: list[str]) -> UsageError:
    for spec in obj.maps.values():
        if spec.data is not None and any(var.name == name for var, _ in _variables(spec)):
            return UsageError(
                f"{name} is in {spec.name}, and is no constant",
                file=obj.file,
                hint="declare it `const volatile`, or write it once it is loaded: "
                f"obj.maps[{spec.name!r}]",
            )
    return UsageError(f"there is no constant {name}", file=obj.file, hint=among(known, name))


def _encoded(btf: Btf, type_id: int, value: Any, what: str) -> bytes:
    kind = btf[btf.resolve(type_id)]
    match kind:
        case Int():
            return _integer(kind, value, what)
        case Enum() | Enum64():
            if isinstance(value, str):
                named = dict(kind.values)
                if value not in named:
                    name = btf.c_name(btf.resolve(type_id))
                    raise UsageError(f"{what} is {name}, not {value!r}", hint=among(named, value))
                value = named[value]
            return _integer(kind, value, what)
        case Float() | Ptr():
            raise UsageError(
                f"{what} is {btf.c_name(btf.resolve(type_id))}, and cannot be set",
                hint="integers, enums, and arrays and structs of them can",
            )
        case Array():
            return _array(btf, kind, value, what)
        case _:
            return pack(btf, type_id, value, btf.size_of(type_id), what=what)


def _integer(kind: Int | Enum | Enum64, value: Any, what: str) -> bytes:
    is_bool = isinstance(kind, Int) and bool(kind.encoding & _BOOL)
    bits = 8 * kind.size
    low, high = (-1 << (bits - 1), 1 << (bits - 1)) if kind.signed else (0, 1 << bits)
    if is_bool:
        low, high = 0, 2
    if not isinstance(value, int) or (isinstance(value, bool) and not is_bool):
        raise UsageError(f"{what} is {'a bool' if is_bool else 'an integer'}, not {value!r}")
    if not low <= value < high:
        raise UsageError(f"{value} does not fit {what}, which can be {low} to {high - 1}")
    return (value & ((1 << bits) - 1)).to_bytes(kind.size, "little")


def _array(btf: Btf, kind: Array, value: Any, what: str) -> bytes:
    element = btf[btf.resolve(kind.type)]
    size = btf.size_of(kind.type)
    if isinstance(value, str) and isinstance(element, Int) and element.size == 1:
        value = value.encode()
    if not isinstance(value, bytes | list | tuple):
        raise UsageError(f"{what} takes a list, not {value!r}")
    if len(value) > kind.count:
        raise UsageError(f"{what} has room for {kind.count} elements, not for {len(value)}")
    found = b"".join(_encoded(btf, kind.type, item, f"{what}[{i}]") for i, item in enumerate(value))
    return found.ljust(size * kind.count, b"\0")
