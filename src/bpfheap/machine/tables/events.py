"""Arrays of perf events (perf_event_array_map_ops in kernel/bpf/arraymap.c): `inner` tells on which
CPU each one is, and `records` are what programs wrote, in the order in which they did."""

from __future__ import annotations

from bpfheap.machine.tables.common import Keeper, Output, Table, map_error
from bpfheap.machine.tables.numbers import NumberArray


def index_limit(table: Table, cpus: int) -> int:
    """Without a number, loaders make room for each CPU."""
    return table.spec.max_entries or cpus


def listening(table: Table, cpus: int) -> dict[bytes, int]:
    """What loaders put in (perf_buffer__new of libbpf): an event for each CPU."""
    count = min(index_limit(table, cpus), cpus)
    return {cpu.to_bytes(4, "little"): cpu for cpu in range(count)}


class EventArray(NumberArray):
    """A value is the number of a CPU. Where it is deleted, nobody listens any more."""

    def limit(self, table: Table, cpus: int) -> int:
        return index_limit(table, cpus)

    def check_value(self, keeper: Keeper, table: Table, number: int) -> None:
        if number >= keeper.cpus:
            raise map_error(table, "update", "EINVAL", f"there is no CPU {number}")


def drained(keeper: Keeper, table: Table, cpu: int | None) -> list[bytes]:
    """Take out what was written, on one CPU or on all."""
    table = keeper.writable(table)
    found = [r for r in table.records if isinstance(r, Output) and cpu in (None, r.cpu)]
    rest = (r for r in table.records if not isinstance(r, Output) or cpu not in (None, r.cpu))
    table.records = table.renewed(rest)
    return [r.data for r in found]
