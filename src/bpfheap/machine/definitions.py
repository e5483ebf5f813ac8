"""Which maps can be made, what their values own, and what their operations fail with."""

from __future__ import annotations

from collections.abc import Container, Mapping

from bpfheap.btf import KptrField, SpecialField
from bpfheap.btf.special import NODE_OF
from bpfheap.errors import MachineUnsupported, MapError
from bpfheap.machine.layout import owning, round_up, special
from bpfheap.platform.maps import (
    ACCESS,
    BY_NUMBER,
    DEEPEST_STACK,
    Holds,
    MapFlag,
    MapType,
    Shape,
    stack_entry,
)
from bpfheap.platform.missing import missing_map_type
from bpfheap.spec import MapSpec

#: What MapError's message says.
_MEANING = {
    "E2BIG": "it is full, or the index is too large",
    "EEXIST": "there is an element with that key already",
    "ENOENT": "there is no element with that key",
    "EINVAL": "the operation, its flags or a size do not fit the map",
    "EPERM": "the map is read-only",
    "ENOSPC": "it is full",
    "ENODEV": "there is no such device or CPU",
    "EOVERFLOW": "the number is too large",
    "EOPNOTSUPP": "maps of this type do not have it",
    "EAGAIN": "there is no room",
    "ENOMEM": "there is no memory",
    "EBUSY": "a program that was stopped holds a lock that this needs",
}


def error_of(name: str, doing: str, errno_name: str, hint: str | None = None) -> MapError:
    """The error of an operation ("update") of the map `name`."""
    return MapError(
        f"{doing} of map {name} failed with {errno_name}: {_MEANING[errno_name]}",
        errno_name=errno_name,
        hint=hint,
    )


_PAGE = 4096
#: What a key may have, where that is not anything (LPM_KEY_SIZE_MIN and _MAX,
#: cgroup_storage_map_alloc).
_KEY_SIZES: Mapping[tuple[Shape, Holds], Container[int]] = {
    (Shape.TRIE, Holds.VALUES): range(5, 261),
    (Shape.HASH, Holds.STORAGE): (8, 16),
}
#: MAX_BPF_STACK, and what one value may have here.
_LARGEST_KEY = 512
_LARGEST_VALUE = 1 << 28
_LARGEST_ARRAY = 1 << 32


def check_definition(spec: MapSpec, row: MapType, cpus: int) -> None:
    """Raise MapError for a map that could not be made: EINVAL for flags and sizes that its type
    does not have, E2BIG for more memory than there could be (htab_map_alloc_check,
    array_map_alloc_check, ringbuf_map_alloc).
    """
    unknown = spec.flags & ~row.flags
    if unknown:
        allowed = ", ".join(f"BPF_F_{flag.name}" for flag in row.flags)
        raise MapError(
            f"map {spec.name} cannot be made: map_flags 0x{unknown:x} are not for type {row.name}",
            errno_name="EINVAL",
            hint=f"allowed: {allowed}" if allowed else "leave map_flags out",
        )
    if row.needs & ~spec.flags:
        missing = " | ".join(f"BPF_F_{flag.name}" for flag in row.needs)
        raise MapError(
            f"map {spec.name} cannot be made: a map of type {row.name} needs map_flags {missing}",
            errno_name="EINVAL",
        )
    size = spec.max_entries
    if row.holds is Holds.RECORDS and (size < _PAGE or size & (size - 1)):
        raise MapError(
            f"map {spec.name} cannot be made: a ring buffer of {size} bytes",
            errno_name="EINVAL",
            hint=f"max_entries is its size: a power of two, at least {_PAGE}",
        )
    if row.holds is Holds.PROGRAMS and (spec.value_size != 4 or spec.key_size != 4 or size < 1):
        raise MapError(
            f"map {spec.name} cannot be made: keys of {spec.key_size} bytes, values of "
            f"{spec.value_size}, {size} elements",
            errno_name="EINVAL",
            hint=f"a {row.name} has 4-byte keys and values, and max_entries",
        )
    entry = stack_entry(spec.flags & MapFlag.STACK_BUILD_ID)
    deepest = spec.value_size // entry if row.holds is Holds.STACKS else 1
    if row.holds is Holds.STACKS and (spec.value_size % entry or not 1 <= deepest <= DEEPEST_STACK):
        raise MapError(
            f"map {spec.name} cannot be made: stacks of {spec.value_size} bytes",
            errno_name="EINVAL",
            hint=f"value_size is {entry} bytes for each of at most {DEEPEST_STACK} callers",
        )
    if row.shape is Shape.NONE or row.holds in (Holds.PROGRAMS, Holds.EVENTS):
        return
    keys = row.key_size if row.key_size is not None else spec.key_size
    if (
        spec.key_size != keys
        or spec.key_size not in _KEY_SIZES.get((row.shape, row.holds), range(keys, keys + 1))
        or min(keys or row.key_size == 0, spec.value_size) < 1
        or (row.value_sizes and spec.value_size not in row.value_sizes)
        or (spec.max_entries > 0) != row.counted
    ):
        entries = "max_entries" if row.counted else "max_entries 0"
        values = " or ".join(map(str, row.value_sizes))
        raise MapError(
            f"map {spec.name} cannot be made: keys of {spec.key_size} bytes, values of "
            f"{spec.value_size}, {spec.max_entries} elements",
            errno_name="EINVAL",
            hint=f"a map of type {row.name} needs "
            + _key_needed(row)
            + (
                f", values of {values} bytes and {entries}"
                if values
                else f", a value size and {entries}"
            ),
        )
    whole = spec.value_size * spec.max_entries * (cpus if row.per_cpu else 1)
    if (
        spec.key_size > _LARGEST_KEY
        or spec.value_size > _LARGEST_VALUE
        or (row.shape is Shape.ARRAY and whole >= _LARGEST_ARRAY)
    ):
        raise MapError(
            f"map {spec.name} is too large: keys of {spec.key_size} bytes, values of "
            f"{spec.value_size}, {spec.max_entries} elements",
            errno_name="E2BIG",
            hint=f"keys have at most {_LARGEST_KEY} bytes, values {_LARGEST_VALUE}, "
            f"arrays {_LARGEST_ARRAY} in all",
        )


def _key_needed(row: MapType) -> str:
    if row.key_size is None:
        return "a key size"
    return f"keys of {row.key_size} bytes" if row.key_size else "no keys"


def user_value_size(spec: MapSpec, row: MapType, cpus: int) -> int:
    """The bytes of a value as user space gives and gets it (bpf_map_value_size)."""
    if row.per_cpu:
        return round_up(spec.value_size) * cpus
    return 4 if row.outer else spec.value_size


def check_key(spec: MapSpec, key: bytes, doing: str) -> None:
    """Raises MapError for a key of another size."""
    if len(key) != spec.key_size:
        raise error_of(spec.name, doing, "EINVAL", f"keys have {spec.key_size} bytes")


def check_update(spec: MapSpec, row: MapType, key: bytes, value: bytes, cpus: int) -> None:
    """Raises MapError for a key or value of another size, and for maps that user space may not
    write."""
    whole = user_value_size(spec, row, cpus)
    if len(key) != spec.key_size or len(value) != whole:
        hint = f"keys have {spec.key_size} bytes, values {whole}"
        raise error_of(spec.name, "update", "EINVAL", hint)
    if spec.readonly:
        raise error_of(spec.name, "update", "EPERM")


def check_special(spec: MapSpec, row: MapType, special: tuple[SpecialField, ...]) -> None:
    """Raise MapError for locks, heads and roots where there can be none (map_check_btf)."""
    if not special:
        return
    named = f"map {spec.name} cannot be made: its values have a {special[0].kind}"
    if row.per_cpu:
        raise MapError(named, errno_name="EOPNOTSUPP", hint="not in a map with values per CPU")
    if row.evicts:
        raise MapError(named, errno_name="EOPNOTSUPP", hint="not in a map whose elements may go")
    if spec.flags & ACCESS:
        raise MapError(named, errno_name="EACCES", hint="programs must read and write such a map")


def row_of(spec: MapSpec) -> MapType:
    """Raises MachineUnsupported for a type that Linux has and no machine, MapError for others."""
    row = BY_NUMBER.get(spec.type)
    if row is None:
        name = missing_map_type(spec)
        if name is not None:
            raise MachineUnsupported(
                f"map {spec.name} is of type {name}, which bpfheap does not know",
                file=spec.file or None,
            )
        raise MapError(
            f"map {spec.name} has type {spec.type}, which no machine knows", errno_name="EINVAL"
        )
    return row


def fields_of(spec: MapSpec) -> tuple[tuple[KptrField, ...], tuple[SpecialField, ...]]:
    """The kptrs that own objects, and the locks, heads and roots, of a map's values. Raises
    BtfError for those that cannot be."""
    if not (BY_NUMBER[spec.type].fields and spec.value):
        return (), ()
    others = special(spec.btf, spec.value)
    # Nodes are of use in objects only; in a map's value they are bytes like others.
    others = tuple(s for s in others if s.kind not in NODE_OF.values())
    # Where programs may only read or only write, so they are.
    return () if spec.flags & ACCESS else owning(spec.btf, spec.value), others


def is_readonly(spec: MapSpec) -> bool:
    """For programs."""
    row = BY_NUMBER[spec.type]
    return spec.readonly or row.readonly or bool(spec.flags & MapFlag.RDONLY_PROG)
