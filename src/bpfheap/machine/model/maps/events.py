"""Arrays of perf events (perf_event_array_map_ops in kernel/bpf/arraymap.c): `inner` tells on which
CPU each one is, and `records` are what programs wrote, in the order in which they did."""

from __future__ import annotations

from bpfheap.machine.model.maps.apart import ShownElements
from bpfheap.machine.model.maps.common import Values, map_error, writable
from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord, Output
from bpfheap.machine.model.state import MachineState
from bpfheap.platform.maps import ANY


def index_limit(record: MapRecord, cpus: int) -> int:
    """Without a number, loaders make room for each CPU."""
    return record.spec.max_entries or cpus


def listening(record: MapRecord, cpus: int) -> dict[bytes, int]:
    """What loaders put in (perf_buffer__new of libbpf): an event for each CPU."""
    count = min(index_limit(record, cpus), cpus)
    return {cpu.to_bytes(4, "little"): cpu for cpu in range(count)}


class EventArray(ShownElements):
    """A value is the number of a CPU."""

    def keys(self, record: MapRecord) -> tuple[bytes, ...]:
        return tuple(sorted(record.inner, key=lambda k: int.from_bytes(k, "little")))

    def shown(self, state: MachineState, record: MapRecord, key: bytes) -> bytes | None:
        cpu = record.inner.get(key)
        return None if cpu is None else cpu.to_bytes(4, "little")

    def update(
        self, mutator: Mutator, record: MapRecord, key: bytes, values: Values, flags: int
    ) -> None:
        if flags != ANY:
            raise map_error(record, "update", "EINVAL")
        self._check_index(mutator, record, key, "update")
        cpu = int.from_bytes(values[0] or b"", "little")
        if cpu >= mutator.options.cpus:
            raise map_error(record, "update", "EINVAL", f"there is no CPU {cpu}")
        writable(mutator.state, record).inner[key] = cpu

    def delete(self, mutator: Mutator, record: MapRecord, key: bytes) -> None:
        """Nobody listens there any more."""
        self._check_index(mutator, record, key, "delete")
        if key not in record.inner:
            raise map_error(record, "delete", "ENOENT")
        del writable(mutator.state, record).inner[key]

    def _check_index(self, mutator: Mutator, record: MapRecord, key: bytes, doing: str) -> None:
        if int.from_bytes(key, "little") >= index_limit(record, mutator.options.cpus):
            raise map_error(record, doing, "E2BIG")


def drained(state: MachineState, record: MapRecord, cpu: int | None) -> list[bytes]:
    """Take out what was written, on one CPU or on all."""
    record = writable(state, record)
    found = [r for r in record.records if isinstance(r, Output) and cpu in (None, r.cpu)]
    record.records = tuple(
        r for r in record.records if not isinstance(r, Output) or cpu not in (None, r.cpu)
    )
    return [r.data for r in found]
