"""The kernel around the model machine's programs: blocks, and calls that are performed in Python
for both machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bpfheap.errors import UsageError
from bpfheap.machine import played
from bpfheap.machine.faults import Fault
from bpfheap.machine.model import packets
from bpfheap.machine.model.convention import Arguments, Implementation
from bpfheap.machine.model.interp import Core, moved
from bpfheap.machine.model.mutator import drop
from bpfheap.machine.model.progress import Packet
from bpfheap.machine.model.records import Around, Region, RegionKind, Status
from bpfheap.machine.model.state import MachineState
from bpfheap.machine.model.values import U64, Pointer, Value
from bpfheap.machine.packets import Frame
from bpfheap.machine.tables.caller import Played
from bpfheap.machine.tables.common import Keeper, Table, check_op
from bpfheap.platform.programs import Offer, ProgramType, program_type
from bpfheap.platform.programs.fields import field_of_calls
from bpfheap.runtime.world import KERNEL_HALF, BlockType, Leads, Links, Space, Stub, Word, World


class PlayedKernel:
    """What ModelMachine has of runtime.world.Playing."""

    _state: MachineState
    stubs: dict[str, Stub]
    variables: dict[str, tuple[Leads, ...]]
    maker: Callable[[str], Leads | None]

    @property
    def world(self) -> World:
        return self._state.world

    @world.setter
    def world(self, new: World) -> None:
        self._state.world = new

    @property
    def now(self) -> int:
        return self._state.clock

    @now.setter
    def now(self, new: int) -> None:
        self._state.clock = new

    def block_create(
        self, name: str, size: int, *, space: Space = Space.KERNEL,
        of: BlockType | None = None, strict: bool = False,
    ) -> int:  # fmt: skip
        around = Around(space, of, () if strict else None)
        return self._state.add_region(RegionKind.BLOCK, name, size, around=around).id

    def block_free(self, block: int) -> None:
        drop(self._state, self._block(block, 0, 0).id)

    def block_read(self, block: int, offset: int, size: int) -> bytes:
        self._block(block, offset, size)
        return _flat(self._state, block, offset, size)

    def block_write(self, block: int, offset: int, data: bytes) -> None:
        self._block(block, offset, len(data))
        write(self._state, Pointer(block, offset), data)
        self._know(block, offset, len(data))

    def block_point(self, block: int, offset: int, to: Leads) -> None:
        self._block(block, offset, 8)
        self._block(to.block, 0, 0)
        self._state.store(Pointer(block, offset), 8, Pointer(to.block, to.offset))
        self._know(block, offset, 8)

    def block_leads(self, block: int, offset: int) -> Leads | None:
        region = self._block(block, offset, 8)
        found = region.slots.get(offset)
        if found is None:
            number = int.from_bytes(_flat(self._state, block, offset, 8), "little")
            found = self._state.pointer_to(number) if number else None
        return None if found is None else _leads(self._state, found)

    def variable(self, name: str) -> Pointer:
        """What programs have for a variable: of one with a copy for each CPU, what
        bpf_per_cpu_ptr takes."""
        copies = self.variables[name]
        if len(copies) == 1:
            return Pointer(*copies[0])
        region = self._state.add_region(RegionKind.PERCPU, f"variable {name}", 0)
        region.links[0] = tuple(Pointer(*copy) for copy in copies)
        return Pointer(region.id, 0)

    def _block(self, block: int, offset: int, size: int) -> Region:
        region = self._state.regions.get(block)
        if region is None or region.kind is not RegionKind.BLOCK:
            raise UsageError(f"there is no block {block}")
        if region.status is not Status.LIVE:
            raise UsageError(f"{region.name} was freed")
        if offset < 0 or offset + size > region.size:
            raise UsageError(f"{region.name} has {region.size} bytes, and not {offset + size}")
        return region

    def _know(self, block: int, offset: int, size: int) -> None:
        region = self._state.regions[block]
        if region.around is None or region.around.known is None or not size:
            return
        region = self._state.region(block)
        assert region.around is not None
        known = merged((*(region.around.known or ()), (offset, offset + size)))
        region.around = region.around._replace(known=known)


def merged(ranges: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """In order, those that touch as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return tuple(found)


def show(state: MachineState, ctx: int, links: Links) -> None:
    """Let a context lead to blocks. Raises UsageError for one that is gone."""
    if not links:
        return
    region = state.region(ctx)
    for offset, to in links.items():
        target = state.regions.get(to.block)
        if target is None or target.status is not Status.LIVE:
            raise UsageError("an object of the context was freed")
        region.data.extend(bytes(max(0, offset + 8 - len(region.data))))
        region.slots[offset] = Pointer(to.block, to.offset)


def write(state: MachineState, at: Value, data: bytes) -> None:
    """Bytes, over whatever is there. Raises Fault where a program may not write."""
    if data:
        state.store(at, len(data), int.from_bytes(data, "little"))


def _flat(state: MachineState, region_id: int, offset: int, size: int) -> bytes:
    region = state.regions[region_id]
    return state._flat(region, offset, size).ljust(size, b"\0")


def _leads(state: MachineState, at: Pointer) -> Leads | None:
    region = state.regions.get(at.region)
    if region is None or region.kind is not RegionKind.BLOCK:
        return None
    return Leads(at.region, at.offset)


class ModelCaller:
    """A program of the model machine at a call (machine/tables/caller.py)."""

    __slots__ = ("_core", "name")

    def __init__(self, core: Core, name: str) -> None:
        self._core = core
        self.name = name

    @property
    def cpu(self) -> int:
        return self._core.execution.cpu

    @property
    def cpus(self) -> int:
        return self._core.mutator.options.cpus

    @property
    def keeper(self) -> Keeper:
        return self._core.mutator

    @property
    def section(self) -> str:
        spec = self._core.program.spec
        return "" if spec is None else spec.section

    def table(self, at: Word, op: str) -> Table:
        record = self._core.map_at(at)
        check_op(record, op)
        return record

    def value(self, table: Table, places: tuple[int, ...]) -> Word:
        return Pointer(places[self.cpu if len(places) > 1 else 0], 0)

    def frame(self, ctx: Word) -> Frame:
        packet = packets.packet_of(self._core, ctx, self.name)
        whole = packets.whole_of(self._core.state, packet)
        return Frame(whole, packet.data, packet.room, packet.tail, packet.unseen, packet.skb)

    def within_packet(self, at: int) -> Word:
        packet = self._core.execution.progress.packet
        assert packet is not None
        return Pointer(packet.region, at) if packet.fields[0] >= 0 else 0

    def load(self, at: Word) -> Word:
        return self._core.state.load(at, 8)

    def store(self, at: Word, value: Word) -> None:
        self._core.state.store(at, 8, value)

    def reframe(self, frame: Frame) -> None:
        packet = self._changed(frame)
        packets.change(self._core, packet, frame.whole)

    def know(self, frame: Frame) -> None:
        execution = self._core.execution
        execution.progress = execution.progress._replace(packet=self._changed(frame))

    def _changed(self, frame: Frame) -> Packet:
        packet = self._core.execution.progress.packet
        assert packet is not None
        return packet._replace(
            data=frame.data, room=frame.room, tail=frame.tail, unseen=frame.unseen, skb=frame.skb
        )

    def poke(self, at: int, data: bytes) -> None:
        packet = self._core.execution.progress.packet
        assert packet is not None
        self._core.state.region(packet.region).data[at : at + len(data)] = data

    def owner(self, at: Word, what: str) -> int | None:
        if not isinstance(at, Pointer):
            if self.number(at):
                raise Fault("bad-call", f"{what} of a number, which is no object")
            return None
        region = self._core.state.regions.get(at.region)
        if region is None or region.kind is not RegionKind.BLOCK:
            raise Fault("bad-call", f"{what} of what is no object of the kernel")
        if region.status is not Status.LIVE:
            raise self._core.state.dead(region, f"{what} of {region.name}")
        return region.id

    @property
    def world(self) -> World:
        return self._core.state.world

    @world.setter
    def world(self, new: World) -> None:
        self._core.state.world = new

    @property
    def kind(self) -> Offer:
        return self._type.caller

    @property
    def packet(self) -> bytes | None:
        return packets.content(self._core.state, self._core.execution, metadata=False)

    def field(self, name: str) -> Word:
        at = self._field(name)
        return 0 if at is None else self._core.state.load(at[0], at[1])

    def show(self, ctx: Word, name: str, value: Word) -> None:
        at = self._field(name)
        if at is not None:
            self._core.state.store(at[0], at[1], value)

    def _field(self, name: str) -> tuple[Pointer, int] | None:
        found = field_of_calls(self._type, name)
        if found is None:
            return None
        return Pointer(self._core.execution.ctx, found.offset), found.size

    def acquire(self, block: int) -> None:
        self._core.own(block)

    def release(self, block: int) -> None:
        self._core.owned(self._core.state.regions[block], self.name)
        self._core.give_up(block)

    @property
    def _type(self) -> ProgramType:
        spec = self._core.program.spec
        row = None if spec is None else program_type(spec.section)
        if row is None:
            raise Fault("bad-call", f"{self.name} in a program of no type")
        return row

    def number(self, value: Word) -> int:
        if value is None:
            raise Fault("invalid-access", f"{self.name} is given what nothing was written to")
        return self._core.state.number(value) & U64

    def read(self, at: Word, size: int) -> bytes:
        return self._core.state.read(at, size)

    def write(self, at: Word, data: bytes) -> None:
        write(self._core.state, at, data)

    def moved(self, at: Word, by: int) -> Word:
        return moved(at, by) if isinstance(at, Pointer) else at + by

    def probe(self, to: Word, at: Word, size: int, space: Space) -> bool:
        state = self._core.state
        if not size:
            return True
        state.access(to, size, "write")
        found = self._reachable(at, size, space)
        if found is None:
            write(state, to, bytes(size))
            return False
        copy(state, to, found, size)
        return True

    def is_users(self, at: Word) -> bool:
        return self.number(at) < KERNEL_HALF

    def look(self, at: Word, size: int, space: Space) -> bytes | None:
        found = self._reachable(at, size, space)
        return None if found is None else self._core.state.read(found, size)

    def text(self, at: Word, limit: int, space: Space) -> bytes | None:
        found = self._reachable(at, 1, space)
        if found is None:
            return None
        state = self._core.state
        region = state.regions[found.region]
        there = min(limit, region.size - found.offset)
        text, nul, _ = state.read(found, there).partition(b"\0")
        # Memory ends before the text does.
        return text if nul or there == limit else None

    def block(self, at: Word) -> Leads | None:
        state = self._core.state
        found = state.pointer_to(at) if isinstance(at, int) and at else at
        return _leads(state, found) if isinstance(found, Pointer) else None

    def pointer(self, to: Leads) -> Word:
        return Pointer(to.block, to.offset)

    def blocks(self, name: str) -> Sequence[int]:
        return [
            region.id
            for region in self._core.state.regions.values()
            if region.kind is RegionKind.BLOCK
            and region.status is Status.LIVE
            and region.around is not None
            and region.around.type is not None
            and region.around.type.name == name
        ]

    def make(self, name: str) -> Leads | None:
        return self._core.around.maker(name)

    def map_id(self, at: Word) -> int:
        return self._core.map_at(at).id

    def member(self, block: int, path: str) -> Word | None:
        place = self._member(block, path)
        if place is None or place[1] > 8:
            return None
        return self._core.state.load(Pointer(block, place[0]), place[1])

    def bytes_of(self, block: int, path: str) -> bytes | None:
        place = self._member(block, path)
        return None if place is None else self._core.state.read(Pointer(block, place[0]), place[1])

    def _member(self, block: int, path: str) -> tuple[int, int] | None:
        region = self._core.state.regions.get(block)
        if region is None or region.around is None or region.around.type is None:
            return None
        return region.around.type.member(path)

    def _reachable(self, at: Word, size: int, space: Space) -> Pointer | None:
        """`size` bytes of live memory in that space; None if they are not there."""
        state = self._core.state
        if isinstance(at, int):
            at = state.pointer_to(at) if at else None
        region = state.regions.get(at.region) if isinstance(at, Pointer) else None
        if region is None or region.status is not Status.LIVE:
            return None
        if at.offset < 0 or at.offset + size > region.size:
            return None
        its = Space.KERNEL if region.around is None else region.around.space
        if Space.EITHER not in (its, space) and its is not space:
            return None
        return Pointer(at.region, at.offset)


def copy(state: MachineState, to: Value, at: Pointer, size: int) -> None:
    """Bytes, and the pointers among them as pointers. Raises Fault where a program may not."""
    region = state.access(at, size, "read")
    assert isinstance(to, Pointer)
    inside = {
        offset - at.offset: pointer
        for offset, pointer in region.slots.items()
        if at.offset <= offset and offset + 8 <= at.offset + size and type(pointer) is Pointer
    }
    write(state, to, _flat(state, at.region, at.offset, size))
    for offset, pointer in inside.items():
        state.store(Pointer(to.region, to.offset + offset), 8, pointer)


def performed(name: str, stub: Played) -> Implementation:
    """A call that Python performs, as the model machine calls its own."""

    def perform(core: Core, args: Arguments) -> Value:
        result = stub(ModelCaller(core, name), args)
        if isinstance(result, Pointer):
            return result
        return 0 if result is None else int(result) & U64

    return perform


CALLS: Mapping[str, Implementation] = {
    name: performed(name, stub) for name, stub in played.CALLS.items()
}
