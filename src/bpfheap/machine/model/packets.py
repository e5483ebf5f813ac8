"""The packet of an execution, and the calls of XDP that change it (net/core/filter.c).

The packet and the metadata before it are one region. A call that may move the packet makes a new
one, so that pointers from before lead to memory that is gone.
"""

from __future__ import annotations

from collections.abc import Mapping

from bpfheap.machine.faults import Fault
from bpfheap.machine.frames import ETH_HLEN, frame_for, unseen
from bpfheap.machine.model.convention import Arguments, Implementation, error, number
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.mutator import drop
from bpfheap.machine.model.progress import ExecutionProgress, Packet, Skb
from bpfheap.machine.model.records import Execution, RegionKind
from bpfheap.machine.model.state import MachineState
from bpfheap.machine.model.values import U32, Pointer, Value, Word, signed32
from bpfheap.platform.calls import CALL_BY_NAME
from bpfheap.platform.programs import ProgramType, program_type

#: The most metadata: skb_shared_info.meta_len has one byte.
_LONGEST_META = 255
_POINTER = 8
#: The most that offsets and lengths of bpf_xdp_load_bytes may be.
_MOST = (1 << 16) - 1


def attach(state: MachineState, execution: Execution, row: ProgramType, frame: bytes) -> None:
    """Give an execution that has not begun its packet."""
    seen = frame_for(row, state.region(execution.ctx).data, frame)
    region = state.add_region(
        RegionKind.PACKET, "the packet", len(seen.data), seen.data, readonly=seen.readonly
    )
    header = unseen(row)
    skb = Skb(-header, ETH_HLEN - header)
    wide = any(field.offset == seen.fields[0] and field.size == _POINTER for field in row.fields)
    packet = Packet(region.id, 0, seen.room, seen.tail, seen.fields, frame[:header], skb, wide)
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
    if packet is None or row is None or not row.has(CALL_BY_NAME[what].offer):
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


def _adjust_head(core: Core, args: Arguments) -> Value:
    """The metadata moves along. What comes in front is 0; on Linux it is what was there."""
    packet = packet_of(core, args[0], "bpf_xdp_adjust_head")
    by = signed32(number(core, args[1], 2))
    whole = whole_of(core.state, packet)
    meta, seen = whole[: packet.data], whole[packet.data :]
    if packet.room + by < 0 or by > len(seen) - ETH_HLEN:
        change(core, packet, whole)
        return error("EINVAL")
    moved = packet._replace(room=packet.room + by)
    change(core, moved, meta + bytes(max(0, -by)) + seen[max(0, by) :])
    return 0


def _adjust_meta(core: Core, args: Arguments) -> Value:
    packet = packet_of(core, args[0], "bpf_xdp_adjust_meta")
    by = signed32(number(core, args[1], 2))
    whole = whole_of(core.state, packet)
    length = packet.data - by
    wrong = None
    if packet.room + by < 0 or length < 0:
        wrong = "EINVAL"
    elif length % 4 or length > _LONGEST_META:
        wrong = "EACCES"
    if wrong is not None:
        change(core, packet, whole)
        return error(wrong)
    moved = packet._replace(data=length, room=packet.room + by)
    change(core, moved, bytes(max(0, -by)) + whole[max(0, by) :])
    return 0


def _adjust_tail(core: Core, args: Arguments) -> Value:
    packet = packet_of(core, args[0], "bpf_xdp_adjust_tail")
    by = signed32(number(core, args[1], 2))
    whole = whole_of(core.state, packet)
    if by > packet.tail or len(whole) - packet.data + by < ETH_HLEN:
        change(core, packet, whole)
        return error("EINVAL")
    moved = packet._replace(tail=packet.tail - by)
    change(core, moved, (whole + bytes(max(0, by)))[: len(whole) + by])
    return 0


def _buff_len(core: Core, args: Arguments) -> Value:
    packet = packet_of(core, args[0], "bpf_xdp_get_buff_len")
    return len(whole_of(core.state, packet)) - packet.data


def _place(core: Core, args: Arguments, packet: Packet, whole: bytes) -> tuple[int, int, str]:
    """The first byte that bpf_xdp_load_bytes and its like are asked for, how many, and what is
    wrong with that (bpf_xdp_pointer)."""
    at, size = number(core, args[1], 2) & U32, number(core, args[3], 4) & U32
    if at > _MOST or size > _MOST:
        return 0, size, "EFAULT"
    there = packet.data + at + size <= len(whole)
    return packet.data + at, size, "" if there else "EINVAL"


def _xdp_load_bytes(core: Core, args: Arguments) -> Value:
    """What could not be read stays as it was."""
    packet = packet_of(core, args[0], "bpf_xdp_load_bytes")
    whole = whole_of(core.state, packet)
    start, size, wrong = _place(core, args, packet, whole)
    core.state.access(args[2], size, "write")
    if wrong:
        return error(wrong)
    core.state.store(args[2], size, int.from_bytes(whole[start : start + size], "little"))
    return 0


def _xdp_store_bytes(core: Core, args: Arguments) -> Value:
    """The packet stays where it is."""
    packet = packet_of(core, args[0], "bpf_xdp_store_bytes")
    start, size, wrong = _place(core, args, packet, whole_of(core.state, packet))
    given = core.state.read(args[2], size)
    if wrong:
        return error(wrong)
    core.state.store(Pointer(packet.region, start), size, int.from_bytes(given, "little"))
    return 0


CALLS: Mapping[str, Implementation] = {
    "bpf_xdp_adjust_head": _adjust_head,
    "bpf_xdp_adjust_meta": _adjust_meta,
    "bpf_xdp_adjust_tail": _adjust_tail,
    "bpf_xdp_get_buff_len": _buff_len,
    "bpf_xdp_load_bytes": _xdp_load_bytes,
    "bpf_xdp_store_bytes": _xdp_store_bytes,
}
