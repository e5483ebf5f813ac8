"""Calls on the packets of XDP, and those that change them (net/core/filter.c). A call that may move
the packet does so: pointers from before lead to memory that is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bpfheap.machine.frames import ETH_HLEN
from bpfheap.machine.packets import Frame
from bpfheap.machine.played.refusals import error
from bpfheap.machine.tables.caller import Played, TableCaller
from bpfheap.machine.words import signed32
from bpfheap.runtime.world import Word

_U32 = (1 << 32) - 1
#: The most metadata: skb_shared_info.meta_len has one byte.
_LONGEST_META = 255
#: The most that offsets and lengths of bpf_xdp_load_bytes may be.
_MOST = (1 << 16) - 1


def _adjust_head(call: TableCaller, args: Sequence[Word]) -> Word:
    """The metadata moves along. What comes in front is 0; on Linux it is what was there."""
    packet = call.frame(args[0])
    by = signed32(call.number(args[1]))
    whole = packet.whole
    meta, seen = whole[: packet.data], whole[packet.data :]
    if packet.room + by < 0 or by > len(seen) - ETH_HLEN:
        call.reframe(packet)
        return error("EINVAL")
    moved = packet._replace(room=packet.room + by)
    call.reframe(moved._replace(whole=meta + bytes(max(0, -by)) + seen[max(0, by) :]))
    return 0


def _adjust_meta(call: TableCaller, args: Sequence[Word]) -> Word:
    packet = call.frame(args[0])
    by = signed32(call.number(args[1]))
    whole = packet.whole
    length = packet.data - by
    wrong = None
    if packet.room + by < 0 or length < 0:
        wrong = "EINVAL"
    elif length % 4 or length > _LONGEST_META:
        wrong = "EACCES"
    if wrong is not None:
        call.reframe(packet)
        return error(wrong)
    moved = packet._replace(data=length, room=packet.room + by)
    call.reframe(moved._replace(whole=bytes(max(0, -by)) + whole[max(0, by) :]))
    return 0


def _adjust_tail(call: TableCaller, args: Sequence[Word]) -> Word:
    packet = call.frame(args[0])
    by = signed32(call.number(args[1]))
    whole = packet.whole
    if by > packet.tail or len(whole) - packet.data + by < ETH_HLEN:
        call.reframe(packet)
        return error("EINVAL")
    moved = packet._replace(tail=packet.tail - by)
    call.reframe(moved._replace(whole=(whole + bytes(max(0, by)))[: len(whole) + by]))
    return 0


def _buff_len(call: TableCaller, args: Sequence[Word]) -> Word:
    packet = call.frame(args[0])
    return len(packet.whole) - packet.data


def _place(call: TableCaller, args: Sequence[Word], packet: Frame) -> tuple[int, int, str]:
    """The first byte that bpf_xdp_load_bytes and its like are asked for, how many, and what is
    wrong with that (bpf_xdp_pointer)."""
    at, size = call.number(args[1]) & _U32, call.number(args[3]) & _U32
    if at > _MOST or size > _MOST:
        return 0, size, "EFAULT"
    there = packet.data + at + size <= len(packet.whole)
    return packet.data + at, size, "" if there else "EINVAL"


def _xdp_load_bytes(call: TableCaller, args: Sequence[Word]) -> Word:
    """What could not be read stays as it was."""
    packet = call.frame(args[0])
    start, size, wrong = _place(call, args, packet)
    if wrong:
        return error(wrong)
    call.write(args[2], packet.whole[start : start + size])
    return 0


def _xdp_store_bytes(call: TableCaller, args: Sequence[Word]) -> Word:
    """The packet stays where it is."""
    packet = call.frame(args[0])
    start, size, wrong = _place(call, args, packet)
    given = call.read(args[2], size)
    if wrong:
        return error(wrong)
    call.poke(start, given)
    return 0


CALLS: Mapping[str, Played] = {
    "bpf_xdp_adjust_head": _adjust_head,
    "bpf_xdp_adjust_meta": _adjust_meta,
    "bpf_xdp_adjust_tail": _adjust_tail,
    "bpf_xdp_get_buff_len": _buff_len,
    "bpf_xdp_load_bytes": _xdp_load_bytes,
    "bpf_xdp_store_bytes": _xdp_store_bytes,
}
