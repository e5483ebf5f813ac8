"""The packet of an execution.

The packet and the metadata before it are one region. A call that may move the packet makes a new
one, so that pointers from before lead to memory that is gone.
"""

from __future__ import annotations

from bpfheap.machine.faults import Fault
from bpfheap.machine.frames import frame_for
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.mutator import drop
from bpfheap.machine.model.progress import ExecutionProgress, Packet
from bpfheap.machine.model.records import Execution, RegionKind
from bpfheap.machine.model.state import MachineState
from bpfheap.machine.model.values import Pointer, Value, Word
from bpfheap.machine.packets import known_of
from bpfheap.platform.called import row_of
from bpfheap.platform.programs import ProgramType, program_type

_POINTER = 8


def attach(state: MachineState, execution: Execution, row: ProgramType, frame: bytes) -> None:
    """Give an execution that has not begun its packet."""
    seen = frame_for(row, state.region(execution.ctx).data, frame)
    region = state.add_region(
        RegionKind.PACKET, "the packet", len(seen.data), seen.data, readonly=seen.readonly
    )
    header, skb = known_of(row, frame)
    wide = any(field.offset == seen.fields[0] and field.size == _POINTER for field in row.fields)
    packet = Packet(region.id, 0, seen.room, seen.tail, seen.fields, header, skb, wide)
    execution.progress = execution.progress._replace(packet=packet)
    show(state, execution.ctx, packet)


def show(state: MachineState, ctx: int, packet: Packet) -> None:
    """Let the fields of the context lead to the packet."""
    offsets = (packet.data, state.regions[packet.region].size, 0)
    slots = state.region(ctx).slots
    for field, offset in zip(packet.fields, offsets, strict=True):
        if field >= 0:
            slots[field] = (Pointer if packet.wide else Word)(packet.region, offset)


def restore(state: MachineState, progress: ExecutionProgress, ctx: int) -> None:
    """The same for a context that was made again."""
    if progress.packet is not None:
        show(state, ctx, progress.packet)


def content(state: MachineState, execution: Execution, *, metadata: bool = True) -> bytes | None:
    """The packet as the program sees it; None if there is none."""
    packet = execution.progress.packet
    if packet is None:
        return None
    return whole_of(state, packet)[0 if metadata else packet.data :]


def whole_of(state: MachineState, packet: Packet) -> bytes:
    return state.read(Pointer(packet.region, 0), state.regions[packet.region].size)


def packet_of(core: Core, ctx: Value, what: str) -> Packet:
    """The packet of the context that a call was given."""
    packet, spec = core.execution.progress.packet, core.program.spec
    row = None if spec is None else program_type(spec.section)
    if packet is None or row is None or not row.has(row_of(what).offer):
        raise Fault("bad-call", f"{what} in a program of another type")
    if ctx != Pointer(core.execution.ctx, 0):
        raise Fault("bad-call", f"{what} of something else than the program's context")
    return packet


def change(core: Core, packet: Packet, whole: bytes) -> None:
    """Another content and another place: pointers into the packet are void from here on."""
    state, execution = core.state, core.execution
    old = state.regions[packet.region]
    region = state.add_region(RegionKind.PACKET, old.name, len(whole), whole, readonly=old.readonly)
    drop(state, old.id)
    packet = packet._replace(region=region.id)
    execution.progress = execution.progress._replace(packet=packet)
    show(state, execution.ctx, packet)
