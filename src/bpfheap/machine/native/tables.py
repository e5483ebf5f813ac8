"""Maps whose elements Python keeps, on the native machine: the memory of their values, and what
programs do with them by calls that other maps have in the core.

Values that programs may point at are elements of a hash of the core's, by numbers: so they lie
where programs reach, with their kptrs and locks, and what is retired waits for a grace period.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from bpfheap.machine.faults import Fault
from bpfheap.machine.layout import round_up
from bpfheap.machine.native import _core
from bpfheap.machine.played.refusals import answer
from bpfheap.machine.tables import elements
from bpfheap.machine.tables.caller import Played, TableCaller
from bpfheap.machine.tables.common import Output, Table, Unfinished, Values, map_error
from bpfheap.machine.tables.sockets import element_of
from bpfheap.platform.maps import EXIST, F_LOCK, NOEXIST, Holds
from bpfheap.runtime.world import Leads, Word

#: Values of maps that have as many as there are objects of the kernel.
_MOST: Final = 1 << 16
_HASH: Final = _core.SHAPES.index("hash")
_NUMBER: Final = 8
#: Bytes that Python has for a record beside its own.
_AROUND: Final = 128


@dataclass(slots=True, kw_only=True)
class NativeTable(Table):
    """`memory`: of its values, None if no program can point at them; `numbers`: those of the next
    ones. What Python keeps of others, the core counts as the runtime's memory."""

    core: _core.Core
    memory: _core.Map | None
    numbers: Iterator[int] = field(default_factory=itertools.count)
    # Nobody keeps what these were before.
    records: deque[bytes | Unfinished | Output] = field(default_factory=deque)
    used: set[bytes] = field(default_factory=set)

    def add(self, record: bytes | Output) -> None:
        """Raises MapError."""
        if not self.core.take(_bytes(record)):
            raise map_error(self, "push", "ENOSPC" if self.type.holds is Holds.EVENTS else "ENOMEM")
        self.records.append(record)

    def take(self, at: int) -> None:
        self.core.give(_bytes(self.records.popleft() if at == 0 else self.records.pop()))

    def renewed(
        self, records: Iterable[bytes | Unfinished | Output]
    ) -> deque[bytes | Unfinished | Output]:
        rest = deque(records)
        self.core.give(sum(map(_bytes, self.records)) - sum(map(_bytes, rest)))
        return rest

    def use(self, value: bytes) -> None:
        """Raises MapError."""
        if value in self.used:
            return
        if not self.core.take(_bytes(value)):
            raise map_error(self, "push", "ENOMEM")
        self.used.add(value)

    def forget(self) -> None:
        """The map is gone."""
        self.core.give(sum(map(_bytes, (*self.records, *self.used))))
        self.records.clear()
        self.used.clear()
        if self.memory is not None:
            self.memory.free()


def _bytes(record: bytes | Unfinished | Output) -> int:
    """With what Python has around it."""
    if isinstance(record, Unfinished):
        return _AROUND
    return len(record if isinstance(record, bytes) else record.data) + _AROUND


def place_key(place: int) -> bytes:
    return place.to_bytes(_NUMBER, "little")


def memory_for(core: _core.Core, table: Table, layout: _core.Type | None) -> _core.Map:
    """Room for the values of a table. Raises OutOfMemory."""
    spec = table.spec
    return _core.Map(
        core,
        table.id,
        _HASH,
        _NUMBER,
        spec.value_size,
        # What is updated has two values for a moment.
        spec.max_entries + 1 if spec.max_entries else _MOST,
        per_cpu=table.type.per_cpu,
        readonly=table.readonly,
        type=layout,
        waits=True,
    )


class Tables:
    """machine/tables/common.py, Keeper. `wrong_block` says why a number stands for no object of the
    kernel."""

    def __init__(
        self,
        core: _core.Core,
        wrong_block: Callable[[int], str | None],
        lock: threading.RLock | None = None,
        here: int = 0,
    ) -> None:
        self.wrong_block = wrong_block
        #: One at a time: Python lets threads change places anywhere.
        self.lock = lock or threading.RLock()
        self._core = core
        self._here = here

    def at(self, here: int) -> Tables:
        """In the context whose struct bh_here that is."""
        return Tables(self._core, self.wrong_block, self.lock, here)

    @contextmanager
    def at_work(self) -> Iterator[Tables]:
        """For user space. First a CPU: whoever has one may wait for the lock."""
        with self._core.enter() as run, self.lock:
            yield self.at(run.here)

    @property
    def cpus(self) -> int:
        return self._core.cpus

    def writable(self, table: Table) -> Table:
        return table

    def create(self, table: Table, key: bytes, values: Values) -> tuple[int, ...]:
        """All copies are in one place."""
        size = table.spec.value_size
        padded = round_up(size) if table.type.per_cpu else size
        place = next(_native(table).numbers)
        raw = b"".join((value or b"").ljust(padded, b"\0") for value in values)
        self._put(table, place, raw, NOEXIST)
        return (place,)

    def fill(self, table: Table, place: int, value: bytes) -> None:
        self._put(table, place, value, EXIST | F_LOCK)

    def overwrite(self, table: Table, places: tuple[int, ...], values: Values) -> None:
        # Programs leave the copies of other CPUs as they are, and update no map that is kept here
        # with copies.
        assert None not in values
        padded = round_up(table.spec.value_size) if table.type.per_cpu else 0
        raw = b"".join((value or b"").ljust(padded, b"\0") for value in values)
        self._put(table, places[0], raw, EXIST)

    def retire(self, table: Table, key: bytes, places: tuple[int, ...]) -> None:
        for place in places:
            _memory(table).delete(place_key(place), self._here)

    def shown(self, table: Table, place: int) -> bytes:
        found = _memory(table).lookup(place_key(place)) or b""
        return found if table.type.per_cpu else found[: table.spec.value_size]

    def address(self, table: Table, places: tuple[int, ...]) -> int:
        """Of the first copy; 0 if it is gone."""
        return _memory(table).address(place_key(places[0])) or 0

    def _put(self, table: Table, place: int, raw: bytes, flags: int) -> None:
        if _memory(table).update(place_key(place), raw, flags, self._here):
            raise map_error(table, "update", "ENOMEM")


def _native(table: Table) -> NativeTable:
    assert isinstance(table, NativeTable)
    return table


def _memory(table: Table) -> _core.Map:
    memory = _native(table).memory
    assert memory is not None
    return memory


# -- what the core has of other maps


def _lookup(call: TableCaller, args: Sequence[Word]) -> Word:
    table = call.table(args[0], "lookup")
    key = call.read(args[1], table.spec.key_size)
    found = elements(table.type).regions(call.keeper, table, key)
    if found is None:
        return 0
    if not table.type.borrows:
        return call.value(table, found)
    if table.type.refers:
        call.acquire(found[0])
    return call.pointer(Leads(found[0]))


def _update(call: TableCaller, args: Sequence[Word]) -> Word:
    """Of a map of sockets, an element is the socket itself (sock_map_update_elem)."""
    table = call.table(args[0], "update")
    key = call.read(args[1], table.spec.key_size)
    if table.type.borrows:
        socket = call.block(args[2])
        if socket is None:
            raise Fault("bad-call", f"update of map {table.spec.name} with no socket")
        value = element_of(socket.block)
    else:
        value = call.read(args[2], table.spec.value_size)
    flags = call.number(args[3])

    def update() -> None:
        if table.readonly:
            raise map_error(table, "update", "EPERM")
        elements(table.type).update(call.keeper, table, key, (value,), flags)

    return answer(update)


def _delete(call: TableCaller, args: Sequence[Word]) -> Word:
    table = call.table(args[0], "delete")
    key = call.read(args[1], table.spec.key_size)
    return answer(lambda: elements(table.type).delete(call.keeper, table, key))


#: Asked for maps whose elements Python keeps.
CALLS: Mapping[str, Played] = {
    "bpf_map_lookup_elem": _lookup,
    "bpf_map_update_elem": _update,
    "bpf_map_delete_elem": _delete,
}
