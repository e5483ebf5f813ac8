"""The packets that programs get, as BPF_PROG_TEST_RUN makes them (net/bpf/test_run.c); the rows of
platform/programs/ say which."""

from __future__ import annotations

from typing import NamedTuple

from bpfheap.errors import UsageError
from bpfheap.platform.programs import CtxKind, PacketKind, ProgramType

ETH_HLEN = 14
_FIELDS = ("data", "data_end", "data_meta")
#: XDP_PACKET_HEADROOM less struct xdp_frame, which lies at its beginning.
_XDP_ROOM = 256 - 40
#: A page less the headroom and struct skb_shared_info.
_XDP_LONGEST = 4096 - 256 - 320
#: The most bytes of a stream, or of an option.
_LONGEST = 1 << 16
#: Offsets in struct __sk_buff.
_SKB_TYPE, _SKB_IFINDEX = 4, 40
_SKB = {"len": 0, "protocol": 16}
#: In struct xdp_md: the device that the packet came in by.
_XDP_IFINDEX = 12
#: The number of lo.
_LO = 1
_ETH_PROTO = 12
#: From here on what an Ethernet header says is a protocol, before that a length
#: (ETH_P_802_3_MIN); then packets are of one of these (ETH_P_802_3, ETH_P_802_2).
_FIRST_PROTOCOL, _RAW, _WITH_LLC = 0x600, 1, 4
#: Who gives bytes alone may mean a packet.
_NO_PACKET = "; a packet is given as data="
#: PACKET_MULTICAST, PACKET_OTHERHOST.
_MULTICAST, _OF_OTHERS = 2, 3


class PacketFrame(NamedTuple):
    """What a program sees of its packet: `data`, bytes to go in front (`room`) and behind (`tail`),
    and where the context leads to its beginning, its end and the metadata (-1: nowhere)."""

    data: bytes
    room: int
    tail: int
    fields: tuple[int, int, int]
    readonly: bool


def check(row: ProgramType | None, ctx: bytes, frame: bytes) -> None:
    """Raise UsageError for a context that is longer than the type's, and for a frame that
    BPF_PROG_TEST_RUN would refuse. None at all is fine."""
    if row is not None and len(ctx) > row.ctx_size:
        raise UsageError(
            f"a context of {len(ctx)} bytes for a program of type {row.name}",
            hint=f"at most {row.ctx_size}{_NO_PACKET if row.has_packet else ''}",
        )
    if not frame:
        return
    if row is None or not row.has_packet:
        raise UsageError("a packet for a program of a type that gets none")
    if row.packet is PacketKind.OTHER:
        if len(frame) > _LONGEST:
            raise UsageError(f"{len(frame)} bytes", hint=f"at most {_LONGEST} here")
        return
    if not ETH_HLEN <= len(frame) <= _XDP_LONGEST:
        raise UsageError(
            f"a packet of {len(frame)} bytes",
            hint=f"an Ethernet frame has {ETH_HLEN} to {_XDP_LONGEST} bytes here",
        )


def unseen(row: ProgramType) -> int:
    """The bytes at a frame's beginning that programs of a type do not see: its Ethernet header."""
    return ETH_HLEN if row.packet is PacketKind.SKB_PAYLOAD else 0


def frame_for(row: ProgramType, ctx: bytearray, frame: bytes) -> PacketFrame:
    """`frame` is an Ethernet frame, or nothing; with one, the context tells its length and
    protocol, where it is a struct __sk_buff, and which device it came by: lo, unless it says
    another. Of types without frames, bytes that the context's pointers lead to."""
    if row.packet is PacketKind.OTHER:
        by_kind = {field.kind: field.offset for field in row.fields}
        data, end = (by_kind.get(kind, -1) for kind in (CtxKind.PACKET, CtxKind.PACKET_END))
        return PacketFrame(frame, 0, 0, (data, end, -1), not row.writes_packet)
    xdp = row.packet is PacketKind.XDP
    seen = frame[unseen(row) :]
    at = {field.name: field.offset for field in row.fields}
    data, end, meta = (at.get(name, -1) for name in _FIELDS)
    room, tail = (_XDP_ROOM, _XDP_LONGEST - len(seen)) if xdp else (0, 0)
    if frame and xdp:
        _unless_given(ctx, _XDP_IFINDEX, _LO)
    elif frame:
        _unless_given(ctx, _SKB_IFINDEX, _LO)
        _unless_given(ctx, _SKB_TYPE, _type_of(frame))
        for name, value in told_by(row, frame).items():
            ctx[_SKB[name] : _SKB[name] + 4] = value.to_bytes(4, "little")
    return PacketFrame(seen, room, tail, (data, end, meta), not row.writes_packet)


def told_by(row: ProgramType, frame: bytes) -> dict[str, int]:
    """Fields of a struct __sk_buff that a frame sets, whatever the context says."""
    if len(frame) < ETH_HLEN or not row.of_skb:
        return {}
    protocol = int.from_bytes(protocol_of(frame[_ETH_PROTO:]), "little")
    return {"len": len(frame) - unseen(row), "protocol": protocol}


def _unless_given(ctx: bytearray, at: int, value: int) -> None:
    """Set a field of a context, if that says nothing."""
    ctx.extend(bytes(max(0, at + 4 - len(ctx))))
    if not any(ctx[at : at + 4]):
        ctx[at : at + 4] = value.to_bytes(4, "little")


def protocol_of(behind: bytes) -> bytes:
    """A packet's protocol, from the two bytes that say it and what is behind them (eth_type_trans,
    vlan_set_encap_proto)."""
    said = behind[:2]
    if int.from_bytes(said, "big") >= _FIRST_PROTOCOL:
        return said
    return (_RAW if behind[2:4] == b"\xff\xff" else _WITH_LLC).to_bytes(2, "big")


def _type_of(frame: bytes) -> int:
    """To whom a frame goes, for a device whose address is 0, as that of lo is."""
    if not any(frame[:6]):
        return 0
    return _MULTICAST if frame[0] & 1 else _OF_OTHERS
