"""Arrays of perf events (perf_event_array_map_ops in kernel/bpf/arraymap.c): `inner` tells on which
CPU each one is, and `records` are what programs wrote, in the order in which they did."""

from __future__ import annotations

from bpfheap.machine.model.maps.common import map_error, writable
from bpfheap.machine.model.maps.numbers import NumberArray
from bpfheap.machine.model.mutator import Mutator
from bpfheap.machine.model.records import MapRecord, Output
from bpfheap.machine.model.state import MachineState


def index_limit(record: MapRecord, cpus: int) -> int:
    """Without a number, loaders make room for each CPU."""
    return record.spec.max_entries or cpus


def listening(record: MapRecord, cpus: int) -> dict[bytes, int]:
    """What loaders put in (perf_buffer__new of libbpf): an event for each CPU."""
    count = min(index_limit(record, cpus), cpus)
    return {cpu.to_bytes(4, "little"): cpu for cpu in range(count)}


class EventArray(NumberArray):
    """A value is the number of a CPU. Where it is deleted, nobody listens any more."""

    def limit(self, record: MapRecord, cpus: int) -> int:
        return index_limit(record, cpus)

    def check_value(self, mutator: Mutator, record: MapRecord, number: int) -> None:
        if number >= mutator.options.cpus:
            raise map_error(record, "update", "EINVAL", f"there is no CPU {number}")


def drained(state: MachineState, record: MapRecord, cpu: int | None) -> list[bytes]:
    """Take out what was written, on one CPU or on all."""
    record = writable(state, record)
    found = [r for r in record.records if isinstance(r, Output) and cpu in (None, r.cpu)]
    record.records = tuple(
        r for r in record.records if not isinstance(r, Output) or cpu not in (None, r.cpu)
    )
    return [r.data for r in found]
