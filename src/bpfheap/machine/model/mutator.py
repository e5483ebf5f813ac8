"""Who changes the state, and how what they do is told."""

from __future__ import annotations

from dataclasses import dataclass

from bpfheap.btf import SpecialKind
from bpfheap.events import ObjectEvent, ObjectKind
from bpfheap.machine.model import heap, links
from bpfheap.machine.model.lives import Place
from bpfheap.machine.model.options import ModelOptions
from bpfheap.machine.model.records import MapRecord, Region, RegionKind, Retired, Status
from bpfheap.machine.model.state import MachineState
from bpfheap.machine.model.values import Pointer
from bpfheap.machine.tables.common import Table, Values, copies, key_name

#: What a lock's word is: free; held; held, and what the value holds is to be freed afterwards.
UNLOCKED, LOCKED, EMPTYING = 0, 1, 2


@dataclass(slots=True)
class Mutator:
    """A program at one of its lines, or user space, at work on a state."""

    state: MachineState
    options: ModelOptions
    history: list[str]
    place: Place
    cpu: int = 0
    #: What became of objects, for those who watch them.
    events: list[ObjectEvent] | None = None

    def say(self, sentence: str) -> None:
        limit = self.options.history_limit
        if not limit:
            return
        if len(self.history) >= limit:
            del self.history[: limit // 2 + 1]
        self.history.append(sentence)

    def event(self, kind: ObjectKind, region: Region, program: int | None) -> None:
        if self.events is not None:
            assert region.allocator is not None
            name = region.type.name if region.type is not None else ""
            self.events.append(ObjectEvent(kind, region.allocator, self.cpu, program, name))

    def release(self, region_id: int, sentence: str, program: int | None = None) -> None:
        """Free a live object and all that it holds. `program`: whose call it is."""
        for region, said in heap.release(self.state, region_id, sentence):
            self.say(said)
            self.event(ObjectKind.FREE, region, program if region.id == region_id else None)

    def release_kptrs(self, region_id: int, doing: str, suffix: str) -> None:
        """Free what the kptrs, lists and trees of a value hold. `doing` begins the message of a
        fault ("free of m2 frees"), `suffix` ends the sentence of the object's life ("as m2 was
        freed"). Lists and trees whose lock is held are freed when it is released
        (bpf_list_head_free).

        A field is NULL before its object is freed, so that after a fault one can go on.
        """
        region = self.state.regions[region_id]
        if not region.slots and not region.links:
            return
        for kptr in region.kptrs:
            if kptr.offset not in self.state.regions[region_id].slots:
                continue
            pointer = self.state.region(region_id).slots.pop(kptr.offset)
            inner = self.state.regions[pointer.region]
            if inner.status is not Status.LIVE:
                raise self.state.dead(inner, f"{doing} {inner.name}")
            self.release(
                inner.id, f"{inner.name}, in {region.name}.{kptr.path}, was freed {suffix}"
            )
        self.release_nodes(region_id, doing, suffix)

    def release_nodes(self, region_id: int, doing: str, suffix: str) -> None:
        """As `release_kptrs`, of the lists and trees alone. Objects that have other owners can be
        put into a list again; Linux 6.18 forgets that their nodes are in none now, and refuses."""
        state = self.state
        region = state.regions[region_id]
        for field in region.special:
            if field.kind is SpecialKind.SPIN_LOCK and state.word(region_id, field):
                state.set_word(region_id, field, EMPTYING)
                return
        for field in region.special:
            if field.contains is None:
                continue
            head = Pointer(region_id, field.offset)
            while held := links.nodes(state, head):
                links.remove(state, head, held[0])
                inner = state.regions[held[0].region]
                if inner.status is not Status.LIVE:
                    raise state.dead(inner, f"{doing} {inner.name}")
                self.release(
                    inner.id, f"{inner.name}, in {region.name}.{field.path}, was freed {suffix}"
                )

    # -- maps (machine/tables/common.py, Keeper)

    @property
    def cpus(self) -> int:
        return self.options.cpus

    def writable(self, table: Table) -> MapRecord:
        return self.state.map(table.id)

    def create(self, table: Table, key: bytes, values: Values) -> tuple[int, ...]:
        spec, kptrs = table.spec, self.state.maps[table.id].kptrs
        name = f"{spec.name}[{key_name(key)}]"
        made: list[int] = []
        for cpu in range(copies(self, table)):
            region = self.state.add_region(
                RegionKind.VALUE,
                f"{name}@cpu{cpu}" if table.type.per_cpu else name,
                spec.value_size,
                kptrs=kptrs,
                special=table.special,
                readonly=table.readonly,
                subject=table.id,
            )
            value = values[cpu]
            if value is not None:
                self.state.fill(region.id, value)
            made.append(region.id)
        return tuple(made)

    def fill(self, table: Table, place: int, value: bytes) -> None:
        self.state.fill(place, value)

    def overwrite(self, table: Table, places: tuple[int, ...], values: Values) -> None:
        for place, value in zip(places, values, strict=True):
            if value is None:
                continue
            self.state.fill(place, value)
            name = self.state.regions[place].name
            doing = f"update of {name} frees"
            self.release_kptrs(place, doing, f"as the value was updated by {self.place}")

    def shown(self, table: Table, place: int) -> bytes:
        return bytes(self.state.whole(place))

    def wrong_block(self, block: int) -> str | None:
        region = self.state.regions.get(block)
        if region is None or region.kind is not RegionKind.BLOCK:
            return "elements are sockets"
        return None if region.status is Status.LIVE else f"{region.name} was freed"

    def retire(self, table: Table, key: bytes, places: tuple[int, ...]) -> None:
        """Its kptrs are freed now."""
        regions, name = places, f"{table.spec.name}[{key_name(key)}]"
        retired = Retired(regions, frozenset(self.state.executions))
        self.state.retired = (*self.state.retired, retired)
        for region_id in regions:
            self.release_kptrs(
                region_id,
                f"removal of {name} frees",
                f"as the value was removed by {self.place}",
            )
        if not retired.readers:
            self.state.retired = tuple(r for r in self.state.retired if r is not retired)
            for region_id in regions:
                del self.state.regions[region_id]

    def reclaim(self) -> None:
        """A grace period: free retired values that no execution can see any more."""
        state = self.state
        for retired in state.retired:
            if retired.readers:
                continue
            for region_id in retired.regions:
                region = state.regions[region_id]
                self.release_kptrs(
                    region_id,
                    f"reclaiming {region.name} frees",
                    "as the removed value was reclaimed",
                )
                drop(state, region_id)
            state.retired = tuple(r for r in state.retired if r is not retired)


def drop(state: MachineState, region_id: int) -> None:
    """The memory is gone; a pointer to it that is left can only be a use after free."""
    region = state.region(region_id)
    region.status = Status.FREED
    region.data = bytearray()
    region.slots = {}
    region.links = {}
