"""What all maps share whose elements Python keeps, and what they ask of a machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from bpfheap.btf import SpecialField, SpecialKind
from bpfheap.errors import MapError
from bpfheap.machine.definitions import error_of
from bpfheap.machine.faults import Fault
from bpfheap.platform.maps import EXIST, F_LOCK, NOEXIST, MapType
from bpfheap.spec import MapSpec

#: One value for each copy of an element; None leaves that one (another CPU's) as it is.
Values = tuple[bytes | None, ...]


class Unfinished(NamedTuple):
    """A ring buffer record of `size` bytes that is being filled, or was given up."""

    size: int
    discarded: bool = False


class Output(NamedTuple):
    """What a program wrote into the buffer of a CPU's perf event."""

    cpu: int
    data: bytes


@dataclass(slots=True, kw_only=True)
class Table:
    """What a map has in it.

    `readonly`: programs may not write it.
    `special`: the locks, lists and trees of its values.
    `entries`: by key, where a value is: one place, or one for each CPU, as the machine numbers
        them; of a socket, its block.
    `inner`: by key, the ids of inner maps, or of programs; of perf events, their CPUs;
        the numbers of control groups.
    `records`: the unread records of a ring buffer, or of perf events; the values of a queue or
        stack, oldest first.
    `used`: the elements of an LRU map that were looked up since they came to the end of its queue;
        the values that were pushed into a filter.
    `values`: by key, elements that no program can point at.
    """

    id: int
    spec: MapSpec
    type: MapType
    readonly: bool
    special: tuple[SpecialField, ...] = ()
    entries: dict[bytes, tuple[int, ...]] = field(default_factory=dict)
    inner: dict[bytes, int] = field(default_factory=dict)
    records: Sequence[bytes | Unfinished | Output] = ()
    used: Set[bytes] = frozenset()
    values: dict[bytes, bytes] = field(default_factory=dict)

    def add(self, record: bytes | Output) -> None:
        """Behind all other records."""
        self.records = (*self.records, record)

    def take(self, at: int) -> None:
        """Let the first record go (0), or the last one (-1)."""
        self.records = tuple(self.records)[1:] if at == 0 else tuple(self.records)[:-1]

    def renewed(
        self, records: Iterable[bytes | Unfinished | Output]
    ) -> Sequence[bytes | Unfinished | Output]:
        """As `records` are kept."""
        return tuple(records)

    def use(self, value: bytes) -> None:
        """Let it be one of `used`."""
        self.used |= {value}


class Keeper(Protocol):
    """A machine at work on its maps, for a program or for user space. It has the memory of values
    that programs may point at."""

    @property
    def cpus(self) -> int: ...

    def writable(self, table: Table) -> Table:
        """The table, to be changed."""

    def create(self, table: Table, key: bytes, values: Values) -> tuple[int, ...]:
        """The places of a new value; kptr fields are NULL whatever the bytes say, and what None
        stands for is zeros."""

    def fill(self, table: Table, place: int, value: bytes) -> None:
        """Change a value where it is; what its kptrs hold stays."""

    def overwrite(self, table: Table, places: tuple[int, ...], values: Values) -> None:
        """The same; kptrs of those that change are freed."""

    def retire(self, table: Table, key: bytes, places: tuple[int, ...]) -> None:
        """A value left its map; its memory stays until nobody running now can still see it."""

    def shown(self, table: Table, place: int) -> bytes:
        """A value's bytes."""

    def wrong_block(self, block: int) -> str | None:
        """Why a number stands for no object of the kernel; None if it does."""


class Elements(Protocol):
    """How keys lead to values. Keys have the right size; values too. Stateless.

    `regions` gives the places of an element, None if there is none; `update` and `delete` raise
    MapError.
    """

    def regions(self, keeper: Keeper, table: Table, key: bytes) -> tuple[int, ...] | None: ...

    def update(
        self, keeper: Keeper, table: Table, key: bytes, values: Values, flags: int
    ) -> None: ...

    def delete(self, keeper: Keeper, table: Table, key: bytes) -> None: ...

    def has(self, table: Table, key: bytes) -> bool: ...

    def keys(self, table: Table) -> tuple[bytes, ...]: ...


def in_order(keys: Iterable[bytes]) -> tuple[bytes, ...]:
    """Of an array, as its indices go."""
    return tuple(sorted(keys, key=lambda key: int.from_bytes(key, "little")))


class Entries:
    """Elements that are found by their keys, and no others."""

    def regions(self, keeper: Keeper, table: Table, key: bytes) -> tuple[int, ...] | None:
        return table.entries.get(key)

    def has(self, table: Table, key: bytes) -> bool:
        return key in table.entries

    def keys(self, table: Table) -> tuple[bytes, ...]:
        return tuple(table.entries)


def map_error(table: Table, doing: str, errno_name: str, hint: str | None = None) -> MapError:
    return error_of(table.spec.name, doing, errno_name, hint)


def has_lock(table: Table) -> bool:
    return any(field.kind is SpecialKind.SPIN_LOCK for field in table.special)


def check_flags(table: Table, flags: int, *, present: bool) -> None:
    """The rules of BPF_ANY, BPF_NOEXIST, BPF_EXIST and BPF_F_LOCK (htab_map_update_elem,
    check_flags)."""
    locked = flags & F_LOCK
    flags &= ~F_LOCK
    if flags > EXIST or flags < 0 or (locked and not has_lock(table)):
        raise map_error(table, "update", "EINVAL")
    if flags == NOEXIST and present:
        raise map_error(table, "update", "EEXIST")
    if flags == EXIST and not present:
        raise map_error(table, "update", "ENOENT")


def key_name(key: bytes) -> str:
    return str(int.from_bytes(key, "little")) if 0 < len(key) <= 8 else f"0x{key.hex()}"


def check_op(table: Table, op: str) -> None:
    """Raise Fault if maps of its type do not have an operation."""
    if op not in table.type.ops:
        what = f"{op} of map {table.spec.name}: a {table.type.name} map has none"
        raise Fault("bad-call", what)


def copies(keeper: Keeper, table: Table) -> int:
    """How many places an element has."""
    return keeper.cpus if table.type.per_cpu else 1
