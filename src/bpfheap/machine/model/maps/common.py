"""What all shapes of maps share."""

from __future__ import annotations

from typing import Protocol

from bpfheap.btf import SpecialField, SpecialKind
from bpfheap.errors import MapError
from bpfheap.machine.model.actor import Actor
from bpfheap.machine.model.records import Kind, MapRecord
from bpfheap.machine.model.state import State
from bpfheap.platform.maps import EXIST, F_LOCK, NOEXIST, MapFlag, MapType, Shape
from bpfheap.spec import MapSpec

#: One value for each region of an element; None leaves that one (another CPU's) as it is.
Values = tuple[bytes | None, ...]


class Elements(Protocol):
    """How keys lead to values. Keys have the right size; values too. Stateless.

    `regions` gives those of an element, None if there is none; `update` and `delete` raise
    MapError.
    """

    def regions(self, actor: Actor, record: MapRecord, key: bytes) -> tuple[int, ...] | None: ...

    def update(
        self, actor: Actor, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None: ...

    def delete(self, actor: Actor, record: MapRecord, key: bytes) -> None: ...

    def has(self, record: MapRecord, key: bytes) -> bool: ...

    def keys(self, record: MapRecord) -> tuple[bytes, ...]: ...


#: What MapError's message says.
_MEANING = {
    "E2BIG": "it is full, or the index is too large",
    "EEXIST": "there is an element with that key already",
    "ENOENT": "there is no element with that key",
    "EINVAL": "the operation, its flags or a size do not fit the map",
    "EPERM": "the map is read-only",
    "EAGAIN": "there is no room",
    "ENOMEM": "there is no memory",
}


def map_error(record: MapRecord, doing: str, errno_name: str, hint: str | None = None) -> MapError:
    return MapError(
        f"{doing} of map {record.spec.name} failed with {errno_name}: {_MEANING[errno_name]}",
        errno_name=errno_name,
        hint=hint,
    )


_PAGE = 4096
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
    size = spec.max_entries
    if row.shape is Shape.RING and (size < _PAGE or size & (size - 1)):
        raise MapError(
            f"map {spec.name} cannot be made: a ring buffer of {size} bytes",
            errno_name="EINVAL",
            hint=f"max_entries is its size: a power of two, at least {_PAGE}",
        )
    if row.shape is Shape.PROGS and (spec.value_size != 4 or spec.key_size != 4 or size < 1):
        raise MapError(
            f"map {spec.name} cannot be made: keys of {spec.key_size} bytes, values of "
            f"{spec.value_size}, {size} elements",
            errno_name="EINVAL",
            hint="a prog_array has 4-byte keys and values, and max_entries",
        )
    if row.shape not in (Shape.HASH, Shape.ARRAY):
        return
    keys = row.key_size if row.key_size is not None else spec.key_size
    if spec.key_size != keys or min(spec.key_size, spec.value_size, spec.max_entries) < 1:
        raise MapError(
            f"map {spec.name} cannot be made: keys of {spec.key_size} bytes, values of "
            f"{spec.value_size}, {spec.max_entries} elements",
            errno_name="EINVAL",
            hint=f"a map of type {row.name} needs "
            + (f"keys of {row.key_size} bytes" if row.key_size else "a key size")
            + ", a value size and max_entries",
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


def check_special(spec: MapSpec, row: MapType, special: tuple[SpecialField, ...]) -> None:
    """Raise MapError for locks, heads and roots where there can be none (map_check_btf)."""
    if not special:
        return
    named = f"map {spec.name} cannot be made: its values have a {special[0].kind}"
    if row.per_cpu:
        raise MapError(named, errno_name="EOPNOTSUPP", hint="not in a map with values per CPU")
    if spec.flags & (MapFlag.RDONLY_PROG | MapFlag.WRONLY_PROG):
        raise MapError(named, errno_name="EACCES", hint="programs must read and write such a map")


def has_lock(record: MapRecord) -> bool:
    return any(field.kind is SpecialKind.SPIN_LOCK for field in record.special)


def check_flags(record: MapRecord, flags: int, *, present: bool) -> None:
    """The rules of BPF_ANY, BPF_NOEXIST, BPF_EXIST and BPF_F_LOCK (htab_map_update_elem,
    check_flags)."""
    locked = flags & F_LOCK
    flags &= ~F_LOCK
    if flags > EXIST or flags < 0 or (locked and not has_lock(record)):
        raise map_error(record, "update", "EINVAL")
    if flags == NOEXIST and present:
        raise map_error(record, "update", "EEXIST")
    if flags == EXIST and not present:
        raise map_error(record, "update", "ENOENT")


def key_name(key: bytes) -> str:
    return str(int.from_bytes(key, "little")) if 0 < len(key) <= 8 else f"0x{key.hex()}"


def new_element(
    actor: Actor, record: MapRecord, key: bytes, values: Values, *, cpus: int
) -> tuple[int, ...]:
    """The regions of a new value; kptr fields are NULL whatever the bytes say."""
    state, spec = actor.state, record.spec
    name = f"{spec.name}[{key_name(key)}]"
    made: list[int] = []
    for cpu in range(cpus):
        region = state.add_region(
            Kind.VALUE,
            f"{name}@cpu{cpu}" if record.type.per_cpu else name,
            spec.value_size,
            kptrs=record.kptrs,
            special=record.special,
            readonly=record.readonly,
            subject=record.id,
        )
        value = values[cpu]
        if value is not None:
            state.fill(region.id, value)
        made.append(region.id)
    return tuple(made)


def overwrite(actor: Actor, regions: tuple[int, ...], values: Values) -> None:
    """Update values in place: kptrs of those that change are freed."""
    for region_id, value in zip(regions, values, strict=True):
        if value is None:
            continue
        actor.state.fill(region_id, value)
        name = actor.state.regions[region_id].name
        actor.release_kptrs(
            region_id, f"update of {name} frees", f"as the value was updated by {actor.place}"
        )


def copies(actor: Actor, record: MapRecord) -> int:
    """How many regions an element has."""
    return actor.options.cpus if record.type.per_cpu else 1


def writable(state: State, record: MapRecord) -> MapRecord:
    return state.map(record.id)
