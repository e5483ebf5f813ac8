"""What all shapes of maps share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from bpfheap.btf import SpecialKind
from bpfheap.errors import MapError
from bpfheap.machine.definitions import error_of
from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord, RegionKind
from bpfheap.machine.model.state import MachineState
from bpfheap.platform.maps import EXIST, F_LOCK, NOEXIST

#: One value for each region of an element; None leaves that one (another CPU's) as it is.
Values = tuple[bytes | None, ...]


class Elements(Protocol):
    """How keys lead to values. Keys have the right size; values too. Stateless.

    `regions` gives those of an element, None if there is none; `update` and `delete` raise
    MapError.
    """

    def regions(
        self, mutator: Mutator, record: MapRecord, key: bytes
    ) -> tuple[int, ...] | None: ...

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None: ...

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None: ...

    def has(self, record: MapRecord, key: bytes) -> bool: ...

    def keys(self, record: MapRecord) -> tuple[bytes, ...]: ...


def in_order(keys: Iterable[bytes]) -> tuple[bytes, ...]:
    """Of an array, as its indices go."""
    return tuple(sorted(keys, key=lambda key: int.from_bytes(key, "little")))


class Entries:
    """Elements that are found by their keys, and no others."""

    def regions(self, mutator: Mutator, record: MapRecord, key: bytes) -> tuple[int, ...] | None:
        return record.entries.get(key)

    def has(self, record: MapRecord, key: bytes) -> bool:
        return key in record.entries

    def keys(self, record: MapRecord) -> tuple[bytes, ...]:
        return tuple(record.entries)


def map_error(record: MapRecord, doing: str, errno_name: str, hint: str | None = None) -> MapError:
    return error_of(record.spec.name, doing, errno_name, hint)


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
    mutator: Mutator, record: MapRecord, key: bytes, values: Values, *, cpus: int
) -> tuple[int, ...]:
    """The regions of a new value; kptr fields are NULL whatever the bytes say."""
    state, spec = mutator.state, record.spec
    name = f"{spec.name}[{key_name(key)}]"
    made: list[int] = []
    for cpu in range(cpus):
        region = state.add_region(
            RegionKind.VALUE,
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


def overwrite(mutator: Mutator, regions: tuple[int, ...], values: Values) -> None:
    """Update values in place: kptrs of those that change are freed."""
    for region_id, value in zip(regions, values, strict=True):
        if value is None:
            continue
        mutator.state.fill(region_id, value)
        name = mutator.state.regions[region_id].name
        mutator.release_kptrs(
            region_id, f"update of {name} frees", f"as the value was updated by {mutator.place}"
        )


def copies(mutator: Mutator, record: MapRecord) -> int:
    """How many regions an element has."""
    return mutator.options.cpus if record.type.per_cpu else 1


def writable(state: MachineState, record: MapRecord) -> MapRecord:
    return state.map(record.id)
