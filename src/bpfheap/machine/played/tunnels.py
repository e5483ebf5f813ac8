"""The tunnel that a packet is to take, as programs say and ask it.

Source: bpf_skb_set_tunnel_key and its like in net/core/filter.c of Linux 6.18.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from bpfheap.machine.packets import Tunnel
from bpfheap.machine.played.refusals import error
from bpfheap.machine.played.skb import Skb
from bpfheap.machine.tables.caller import Played, TableCaller
from bpfheap.runtime.world import Word

_U32 = (1 << 32) - 1
#: struct bpf_tunnel_key: id, remote end, tos, ttl, ext or flags, label, local end.
_KEY = struct.Struct("<I16sBBHI16s")
#: The lengths that it had in older versions, up to a member each.
_OLDER = (8, 22, 24, 28)
#: BPF_F_TUNINFO_IPV6, BPF_F_ZERO_CSUM_TX, BPF_F_DONT_FRAGMENT, BPF_F_SEQ_NUMBER,
#: BPF_F_NO_TUNNEL_KEY; when asked, the second is BPF_F_TUNINFO_FLAGS.
_IPV6, _ZERO_CSUM, _DONT_FRAGMENT, _SEQ, _NO_KEY = (1 << n for n in range(5))
_SET_FLAGS = 0x1F
_TELL_FLAGS = 1 << 4
_GET_FLAGS = _IPV6 | _TELL_FLAGS
#: IP_TUNNEL_*_BIT, as TUNNEL_* has them.
_HAS_CSUM, _HAS_KEY, _HAS_SEQ, _WHOLE, _NO_CACHE = 0x01, 0x04, 0x08, 0x0100, 0x2000
#: With options: GENEVE, VXLAN, ERSPAN and GTP.
_HAS_OPTIONS = 0x0800 | 0x1000 | 0x4000 | 0x8000
_LABEL = 0xFFFFF
#: IP_TUNNEL_OPTS_MAX.
_LONGEST = 255


def _set_key(call: TableCaller, args: Sequence[Word]) -> Word:
    skb = Skb(call, args[0])
    size, flags = call.number(args[2]) & _U32, call.number(args[3])
    raw = call.read(args[1], size)
    if flags & ~_SET_FLAGS or (size != _KEY.size and size not in _OLDER):
        return error("EINVAL")
    ident, remote, tos, ttl, ext, label, local = _KEY.unpack(raw.ljust(_KEY.size, b"\0"))
    ipv6 = bool(flags & _IPV6)
    if ext or (label and not ipv6):
        return error("EINVAL")
    told = _NO_CACHE
    for bit, on in (
        (_WHOLE, flags & _DONT_FRAGMENT), (_HAS_CSUM, not flags & _ZERO_CSUM),
        (_HAS_SEQ, flags & _SEQ), (_HAS_KEY, not flags & _NO_KEY),
    ):  # fmt: skip
        told |= bit if on else 0
    ends = (remote, local) if ipv6 else (remote[3::-1], local[3::-1])
    skb.knows(tunnel=Tunnel(ident, *ends, tos, ttl, label & _LABEL, told))
    skb.keep()
    return 0


def _get_key(call: TableCaller, args: Sequence[Word]) -> Word:
    """The ends change places, as if the packet had come through the tunnel. What cannot be told is
    cleared."""
    skb = Skb(call, args[0])
    size, flags = call.number(args[2]) & _U32, call.number(args[3])
    tunnel, ipv6 = skb.known.tunnel, bool(flags & _IPV6)
    wrong = ""
    if tunnel is None or flags & ~_GET_FLAGS:
        wrong = "EINVAL"
    elif (len(tunnel.target) == 16) != ipv6:
        wrong = "EPROTO"
    elif size != _KEY.size and (size not in _OLDER or (size == _OLDER[0] and ipv6)):
        wrong = "EINVAL"
    if wrong or tunnel is None:
        call.write(args[1], bytes(size))
        return error(wrong)
    remote, local = tunnel.source, tunnel.target
    if not ipv6:
        remote, local = remote[::-1], local[::-1]
    told = int.from_bytes(tunnel.flags.to_bytes(2, "big"), "little")
    raw = _KEY.pack(
        tunnel.id, remote, tunnel.tos, tunnel.ttl, told if flags & _TELL_FLAGS else 0,
        tunnel.label, local,
    )  # fmt: skip
    call.write(args[1], raw[:size])
    return 0


def _set_opt(call: TableCaller, args: Sequence[Word]) -> Word:
    skb = Skb(call, args[0])
    size = call.number(args[2]) & _U32
    given, tunnel = call.read(args[1], size), skb.known.tunnel
    if tunnel is None or size % 4:
        return error("EINVAL")
    if size > _LONGEST:
        return error("ENOMEM")
    skb.knows(tunnel=tunnel._replace(options=given, flags=tunnel.flags | _HAS_OPTIONS))
    skb.keep()
    return 0


def _get_opt(call: TableCaller, args: Sequence[Word]) -> Word:
    """The length. What cannot be told is cleared."""
    skb = Skb(call, args[0])
    size, tunnel = call.number(args[2]) & _U32, skb.known.tunnel
    options = None if tunnel is None else tunnel.options
    if options is None or size < len(options):
        call.write(args[1], bytes(size))
        return error("ENOENT" if options is None else "ENOMEM")
    call.write(args[1], options.ljust(size, b"\0"))
    return len(options)


CALLS: Mapping[str, Played] = {
    "bpf_skb_set_tunnel_key": _set_key,
    "bpf_skb_get_tunnel_key": _get_key,
    "bpf_skb_set_tunnel_opt": _set_opt,
    "bpf_skb_get_tunnel_opt": _get_opt,
}
