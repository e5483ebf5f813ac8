"""Calls that make the packet of a struct sk_buff longer or shorter, and those that change what the
kernel knows of it beside its bytes.

Sources: net/core/filter.c, for VLAN tags net/core/skbuff.c, for ECN include/net/inet_ecn.h, of
Linux 6.18.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from zlib import crc32

from bpfheap.machine import checksums
from bpfheap.machine.frames import ETH_HLEN, protocol_of
from bpfheap.machine.played.refusals import error
from bpfheap.machine.played.skb import LARGEST, Skb, numbers
from bpfheap.machine.tables.caller import Played, TableCaller
from bpfheap.machine.words import signed32
from bpfheap.runtime.world import Word

_U16, _U32 = (1 << 16) - 1, (1 << 32) - 1
_IP, _IPV6 = 0x0800, 0x86DD
_VLANS = (0x8100, 0x88A8)
_VLAN_HLEN, _ETH_ADDRESSES = 4, 12
_VLAN_MAX_DEPTH = 8
#: The least length of a header, by its protocol.
_HLEN = {_IP: 20, _IPV6: 40}
#: SKB_MAX_ALLOC.
_LONGEST = 4 * 4096 - 320
_UDP, _UDP_HLEN = 17, 8
#: BPF_LWT_ENCAP_IP, LWT_BPF_MAX_HEADROOM.
_ENCAP_IP, _LONGEST_ENCAP = 2, 256
#: PACKET_OTHERHOST.
_LAST_TYPE = 3
#: The clocks of BPF_SKB_CLOCK_*: the first may say nothing.
_CLOCKS, _REALTIME = 3, 0

# BPF_F_ADJ_ROOM_*
_FIXED_GSO, _NO_CSUM_RESET = 1 << 0, 1 << 5
_ENCAP_IPV4, _ENCAP_IPV6 = 1 << 1, 1 << 2
_ENCAP_GRE, _ENCAP_UDP, _ENCAP_ETH = 1 << 3, 1 << 4, 1 << 6
_DECAP_IPV4, _DECAP_IPV6 = 1 << 7, 1 << 8
_ENCAP_L3, _DECAP_L3 = _ENCAP_IPV4 | _ENCAP_IPV6, _DECAP_IPV4 | _DECAP_IPV6
_L2_SHIFT = 56
_SHRINKING = _FIXED_GSO | _DECAP_L3 | _NO_CSUM_RESET
_ROOM_FLAGS = (
    _SHRINKING | _ENCAP_L3 | _ENCAP_GRE | _ENCAP_UDP | _ENCAP_ETH | 0xFF << _L2_SHIFT
)  # fmt: skip
#: BPF_ADJ_ROOM_NET, BPF_ADJ_ROOM_MAC.
_AT_NET, _AT_MAC = 0, 1
_MOST_ROOM = 0xFFF


def _is_gso(skb: Skb) -> bool:
    """Packets that are given as such have no type (skb_is_gso_tcp)."""
    return skb["gso_size"] != 0


def _push(skb: Skb, at: int, size: int) -> None:
    """Zeros before byte `at` (bpf_skb_net_hdr_push): headers in front move along, and those that
    are where these end."""
    skb.bytes = skb.bytes[:at] + bytes(size) + skb.bytes[at:]
    _transport_moves(skb, size)


def _pop(skb: Skb, at: int, size: int) -> bool:
    """The opposite; False if there are not so many bytes."""
    if at + size > len(skb.bytes):
        return False
    skb.bytes = skb.bytes[:at] + skb.bytes[at + size :]
    _transport_moves(skb, -size)
    return True


def _transport_moves(skb: Skb, by: int) -> None:
    transport = skb.known.transport
    if transport is not None and transport != skb.known.network:
        skb.knows(transport=transport + by)


def _mac_header_len(skb: Skb) -> int:
    return skb.known.network - skb.known.mac


def _resets_mac_len(skb: Skb) -> None:
    skb.knows(mac_len=_mac_header_len(skb))


# -- VLAN tags


def _vlan_push(call: TableCaller, args: Sequence[Word]) -> Word:
    """The tag is kept beside the packet; one that was there goes into it (skb_vlan_push)."""
    skb = Skb(call, args[0])
    proto, tci = numbers(call, args, 2)
    raw = (proto & _U16).to_bytes(2, "little")
    if int.from_bytes(raw, "big") not in _VLANS:
        raw = _VLANS[0].to_bytes(2, "big")
    if skb["vlan_present"]:
        before = skb["vlan_proto"].to_bytes(4, "little")[:2]
        tag = before + skb["vlan_tci"].to_bytes(4, "little")[1::-1]
        skb.bytes = skb.bytes[:_ETH_ADDRESSES] + tag + skb.bytes[_ETH_ADDRESSES:]
        skb.protocol = int.from_bytes(before, "big")
        transport = skb.known.transport
        skb.knows(transport=transport and transport + _VLAN_HLEN)
    _tag(skb, int.from_bytes(raw, "little"), tci & _U16)
    _resets_mac_len(skb)
    return skb.put()


def _vlan_pop(call: TableCaller, args: Sequence[Word]) -> Word:
    skb = Skb(call, args[0])
    result = _popped(skb)
    _resets_mac_len(skb)
    return skb.put(result)


def _popped(skb: Skb) -> int:
    """The tag beside the packet goes, and the next one in it takes its place (skb_vlan_pop)."""
    if skb["vlan_present"]:
        _tag(skb, 0, 0)
    elif skb.protocol not in _VLANS:
        return 0
    elif _out_of_packet(skb) is None:
        return error("ENOMEM")
    if skb.protocol not in _VLANS:
        return 0
    proto = skb["protocol"]
    tci = _out_of_packet(skb)
    if tci is None:
        return error("ENOMEM")
    _tag(skb, proto, tci)
    return 0


def _tag(skb: Skb, proto: int, tci: int) -> None:
    skb["vlan_present"] = int(bool(proto or tci))
    skb["vlan_proto"], skb["vlan_tci"] = proto, tci


def _out_of_packet(skb: Skb) -> int | None:
    """Take a tag out of the packet (__skb_vlan_pop); None if there is none."""
    if len(skb.bytes) < ETH_HLEN + _VLAN_HLEN:
        return None
    tci = int.from_bytes(skb.bytes[ETH_HLEN : ETH_HLEN + 2], "big")
    skb.protocol = int.from_bytes(protocol_of(skb.bytes[ETH_HLEN + 2 :]), "big")
    skb.bytes = skb.bytes[:_ETH_ADDRESSES] + skb.bytes[_ETH_ADDRESSES + _VLAN_HLEN :]
    known = skb.known
    skb.knows(
        network=max(known.network - _VLAN_HLEN, ETH_HLEN),
        transport=known.transport and known.transport - _VLAN_HLEN,
    )
    return tci


# -- room


def _change_head(call: TableCaller, args: Sequence[Word]) -> Word:
    skb = Skb(call, args[0])
    room, flags = call.number(args[1]) & _U32, call.number(args[2])
    too_long = len(skb.bytes) + room > (LARGEST if _is_gso(skb) else _LONGEST)
    if flags or signed32(room) < 0 or too_long:
        return skb.put(error("EINVAL"))
    skb.bytes = bytes(room) + skb.bytes
    skb.unseen = skb.unseen[: max(0, len(skb.unseen) - room)]
    known = skb.known
    transport = None if known.transport is None else known.transport + room
    skb.knows(mac=0, network=known.network + room, transport=transport)
    _resets_mac_len(skb)
    return skb.put()


def _change_tail(call: TableCaller, args: Sequence[Word]) -> Word:
    skb = Skb(call, args[0])
    length, flags = call.number(args[1]) & _U32, call.number(args[2])
    least = max(0, skb.known.network)
    if skb.known.transport is not None and skb.known.transport > 0:
        least = skb.known.transport
    if flags or not least <= length <= _LONGEST:
        return skb.put(error("EINVAL"))
    if skb.known.encapsulated:
        return skb.put(error("ENOTSUPP"))
    skb.bytes = skb.bytes[:length].ljust(length, b"\0")
    if _is_gso(skb):
        skb["gso_size"] = skb["gso_segs"] = 0
    return skb.put()


def _change_proto(call: TableCaller, args: Sequence[Word]) -> Word:
    """Headers of IPv4 and IPv6 differ by 20 bytes, which come or go at the front."""
    skb = Skb(call, args[0])
    proto, flags = call.number(args[1]) & _U16, call.number(args[2])
    if flags:
        return skb.put(error("EINVAL"))
    new = int.from_bytes(proto.to_bytes(2, "little"), "big")
    by = _HLEN[_IPV6] - _HLEN[_IP]
    at = _mac_header_len(skb)
    if (skb.protocol, new) == (_IP, _IPV6):
        _push(skb, at, by)
    elif (skb.protocol, new) != (_IPV6, _IP):
        return skb.put(error("ENOTSUPP"))
    elif not _pop(skb, at, by):
        return skb.put(error("ENOMEM"))
    skb.protocol = new
    skb.forget_hash()
    return skb.put()


def _adjust_room(call: TableCaller, args: Sequence[Word]) -> Word:
    skb = Skb(call, args[0])
    by, mode, flags = numbers(call, args, 3)
    wrong = _adjusted(skb, signed32(by), mode & _U32, flags)
    if not wrong and not flags & _NO_CSUM_RESET:
        skb.knows(checked=-1)
    return skb.put(error(wrong) if wrong else 0)


def _adjusted(skb: Skb, by: int, mode: int, flags: int) -> str:
    """What is wrong, if anything."""
    if flags & ~_ROOM_FLAGS:
        return "EINVAL"
    if abs(by) > _MOST_ROOM:
        return "EFAULT"
    header = least = _HLEN.get(skb.protocol, 0)
    if not header or mode not in (_AT_NET, _AT_MAC):
        return "ENOTSUPP"
    if flags & _DECAP_L3:
        if by >= 0 or flags & _DECAP_L3 == _DECAP_L3:
            return "EINVAL"
        least = _HLEN[_IP if flags & _DECAP_IPV4 else _IPV6]
    at = _mac_header_len(skb) + (header if mode == _AT_NET else 0)
    if by < 0:
        behind = len(skb.bytes) - skb.known.network
        return "ENOTSUPP" if behind + by < max(least, 1) else _shrinks(skb, at, -by, flags)
    if len(skb.bytes) + by > _LONGEST and not _is_gso(skb):
        return "ENOTSUPP"
    return _grows(skb, at, by, flags)


def _shrinks(skb: Skb, at: int, by: int, flags: int) -> str:
    """bpf_skb_net_shrink"""
    if flags & ~_SHRINKING:
        return "EINVAL"
    if _is_gso(skb):
        return "ENOTSUPP"
    if not _pop(skb, at, by):
        return "ENOMEM"
    if skb.protocol == _IP and flags & _DECAP_IPV6:
        skb.protocol = _IPV6
    elif skb.protocol == _IPV6 and flags & _DECAP_IPV4:
        skb.protocol = _IP
    return ""


def _grows(skb: Skb, at: int, by: int, flags: int) -> str:
    """bpf_skb_net_grow"""
    if _is_gso(skb):
        return "ENOTSUPP"
    if not flags & _ENCAP_L3:
        _push(skb, at, by)
        return ""
    inner_mac = flags >> _L2_SHIFT
    both = (_ENCAP_IPV4 | _ENCAP_IPV6, _ENCAP_GRE | _ENCAP_UDP)
    if any(flags & pair == pair for pair in both) or (flags & _ENCAP_ETH and inner_mac < ETH_HLEN):
        return "EINVAL"
    if skb.known.encapsulated:
        return "EALREADY"
    if inner_mac > by:
        return "EINVAL"
    mac_len = _mac_header_len(skb)
    _push(skb, at, by)
    skb.knows(encapsulated=True, network=mac_len)
    outer = _IPV6 if flags & _ENCAP_IPV6 else _IP
    if flags & (_ENCAP_GRE | _ENCAP_UDP):
        skb.knows(transport=mac_len + _HLEN[outer])
    skb.protocol = outer
    return ""


def _push_encap(call: TableCaller, args: Sequence[Word]) -> Word:
    """A header of IP in front (bpf_lwt_push_ip_encap). Those of segment routing are refused, as
    by a kernel without CONFIG_IPV6_SEG6_BPF."""
    skb = Skb(call, args[0])
    kind, size = call.number(args[1]) & _U32, call.number(args[3]) & _U32
    header = call.read(args[2], size)
    if kind != _ENCAP_IP or not _HLEN[_IP] <= size <= _LONGEST_ENCAP:
        return skb.put(error("EINVAL"))
    version = header[0] >> 4
    length, above = 4 * (header[0] & 15), header[9]
    if version == 6:
        length, above = _HLEN[_IPV6], header[6]
    # The stable kernels of 6.18 ask for the whole header of UDP, too.
    if version not in (4, 6) or size < length + (_UDP_HLEN if above == _UDP else 0):
        return skb.put(error("EINVAL"))
    if version == 4 and header[10:12] == bytes(2):
        check = checksums.fold(checksums.partial(header[:length]))
        header = header[:10] + check.to_bytes(2, "little") + header[12:]
    skb.bytes = header + skb.bytes
    skb.unseen = skb.unseen[: max(0, len(skb.unseen) - size)]
    skb.knows(mac=skb.known.mac + size, network=0, encapsulated=True)
    skb.protocol = _IP if version == 4 else _IPV6
    skb.forget_hash()
    return skb.put()


# -- what is known of the packet


def _change_type(call: TableCaller, args: Sequence[Word]) -> Word:
    skb = Skb(call, args[0])
    new = call.number(args[1]) & _U32
    if skb["pkt_type"] > _LAST_TYPE or new > _LAST_TYPE:
        return error("EINVAL")
    skb["pkt_type"] = new
    return 0


def _set_hash(call: TableCaller, args: Sequence[Word]) -> Word:
    skb = Skb(call, args[0])
    skb["hash"] = call.number(args[1]) & _U32
    skb.knows(hashed=True)
    skb.keep()
    return 0


def _set_hash_invalid(call: TableCaller, args: Sequence[Word]) -> Word:
    Skb(call, args[0]).forget_hash()
    return 0


def _get_hash_recalc(call: TableCaller, args: Sequence[Word]) -> Word:
    """Of both directions of a flow the same, and never 0; on Linux it differs from boot to boot."""
    skb = Skb(call, args[0])
    if not skb["hash"] and not skb.known.hashed:
        skb["hash"] = crc32(_flow(skb)) or 1
        skb.knows(hashed=True)
        skb.keep()
    return skb["hash"]


def _flow(skb: Skb) -> bytes:
    """The ends of a packet's flow, as far as it has any."""
    proto, at = _inner(skb)
    header = skb.bytes[at : at + _HLEN.get(proto, 0)]
    if len(header) < _HLEN.get(proto, 1):
        return proto.to_bytes(2, "big")
    if proto == _IP:
        above, ends, behind = header[9], (header[12:16], header[16:20]), at + 4 * (header[0] & 15)
    else:
        above, ends, behind = header[6], (header[8:24], header[24:40]), at + _HLEN[_IPV6]
    ports = skb.bytes[behind : behind + 4] if above in (6, 17) else b""
    both = sorted((ends[0] + ports[:2], ends[1] + ports[2:]))
    return proto.to_bytes(2, "big") + bytes([above]) + both[0] + both[1]


def _inner(skb: Skb) -> tuple[int, int]:
    """The protocol behind all VLAN tags, and where it begins; 0 if the packet ends before."""
    proto, at = skb.protocol, skb.known.network
    for _ in range(_VLAN_MAX_DEPTH):
        if proto not in _VLANS:
            return proto, at
        proto = int.from_bytes(skb.bytes[at + 2 : at + _VLAN_HLEN], "big")
        at += _VLAN_HLEN
    return 0, at


def _inner_protocol(skb: Skb) -> int:
    """The same without the place (__vlan_get_protocol), which begins with the mac header's
    length, if somebody asked for it."""
    proto, at = skb.protocol, skb.known.mac_len
    at = at - _VLAN_HLEN if at else ETH_HLEN
    for _ in range(_VLAN_MAX_DEPTH):
        if proto not in _VLANS:
            return proto
        if at + _VLAN_HLEN > len(skb.bytes):
            return 0
        proto = int.from_bytes(skb.bytes[at + 2 : at + _VLAN_HLEN], "big")
        at += _VLAN_HLEN
    return 0


def _ecn_set_ce(call: TableCaller, args: Sequence[Word]) -> Word:
    """1 if the packet tells of congestion now."""
    skb = Skb(call, args[0])
    proto, at = _inner_protocol(skb), skb.known.network
    header = skb.bytes[at : at + _HLEN.get(proto, 0)]
    if proto not in _HLEN or len(header) < _HLEN[proto]:
        return 0
    if proto == _IPV6:
        if not header[1] & 0x30:
            return 0
        skb.write(at + 1, bytes([header[1] | 0x30]))
        return 1
    # IP_ECN_set_ce: the checksum changes by what the last two bits of tos do.
    ecn = header[1] + 1 & 3
    if not ecn & 2:
        return int(not ecn)
    check = int.from_bytes(header[10:12], "big") + 0xFFFB + ecn
    check = checksums.sum16(check)
    skb.write(at + 10, check.to_bytes(2, "big"))
    skb.write(at + 1, bytes([header[1] | 3]))
    return 1


def _set_tstamp(call: TableCaller, args: Sequence[Word]) -> Word:
    skb = Skb(call, args[0])
    tstamp, clock = call.number(args[1]), call.number(args[2]) & _U32
    if skb.protocol not in _HLEN:
        return error("EOPNOTSUPP")
    if clock >= _CLOCKS or (clock != _REALTIME and not tstamp):
        return error("EINVAL")
    skb["tstamp"], skb["tstamp_type"] = tstamp, clock
    return 0


CALLS: Mapping[str, Played] = {
    "bpf_skb_vlan_push": _vlan_push,
    "bpf_skb_vlan_pop": _vlan_pop,
    "bpf_skb_change_head": _change_head,
    "bpf_skb_change_tail": _change_tail,
    "bpf_skb_change_proto": _change_proto,
    "bpf_skb_adjust_room": _adjust_room,
    "bpf_lwt_push_encap": _push_encap,
    "bpf_skb_change_type": _change_type,
    "bpf_set_hash": _set_hash,
    "bpf_set_hash_invalid": _set_hash_invalid,
    "bpf_get_hash_recalc": _get_hash_recalc,
    "bpf_skb_ecn_set_ce": _ecn_set_ce,
    "bpf_skb_set_tstamp": _set_tstamp,
}
