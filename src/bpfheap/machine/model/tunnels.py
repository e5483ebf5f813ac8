"""The tunnel that a packet is to take, as programs say and ask it.

Source: bpf_skb_set_tunnel_key and its like in net/core/filter.c of Linux 6.18.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from bpfheap.machine.model.convention import Arguments, Implementation, error, number
from bpfheap.machine.model.interp import Core
from bpfheap.machine.model.progress import Tunnel
from bpfheap.machine.model.skb import Skb
from bpfheap.machine.model.values import U32, Value

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


def _set_key(core: Core, args: Arguments) -> Value:
    skb = Skb(core, args[0], "bpf_skb_set_tunnel_key")
    size, flags = number(core, args[2], 3) & U32, number(core, args[3], 4)
    raw = core.state.read(args[1], size)
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


def _get_key(core: Core, args: Arguments) -> Value:
    """The ends change places, as if the packet had come through the tunnel. What cannot be told is
    cleared."""
    skb = Skb(core, args[0], "bpf_skb_get_tunnel_key")
    size, flags = number(core, args[2], 3) & U32, number(core, args[3], 4)
    tunnel, ipv6 = skb.known.tunnel, bool(flags & _IPV6)
    wrong = ""
    if tunnel is None or flags & ~_GET_FLAGS:
        wrong = "EINVAL"
    elif (len(tunnel.target) == 16) != ipv6:
        wrong = "EPROTO"
    elif size != _KEY.size and (size not in _OLDER or (size == _OLDER[0] and ipv6)):
        wrong = "EINVAL"
    if wrong or tunnel is None:
        _write(core, args[1], bytes(size))
        return error(wrong)
    remote, local = tunnel.source, tunnel.target
    if not ipv6:
        remote, local = remote[::-1], local[::-1]
    told = int.from_bytes(tunnel.flags.to_bytes(2, "big"), "little")
    raw = _KEY.pack(
        tunnel.id, remote, tunnel.tos, tunnel.ttl, told if flags & _TELL_FLAGS else 0,
        tunnel.label, local,
    )  # fmt: skip
    _write(core, args[1], raw[:size])
    return 0


def _set_opt(core: Core, args: Arguments) -> Value:
    skb = Skb(core, args[0], "bpf_skb_set_tunnel_opt")
    size = number(core, args[2], 3) & U32
    given, tunnel = core.state.read(args[1], size), skb.known.tunnel
    if tunnel is None or size % 4:
        return error("EINVAL")
    if size > _LONGEST:
        return error("ENOMEM")
    skb.knows(tunnel=tunnel._replace(options=given, flags=tunnel.flags | _HAS_OPTIONS))
    skb.keep()
    return 0


def _get_opt(core: Core, args: Arguments) -> Value:
    """The length. What cannot be told is cleared."""
    skb = Skb(core, args[0], "bpf_skb_get_tunnel_opt")
    size, tunnel = number(core, args[2], 3) & U32, skb.known.tunnel
    options = None if tunnel is None else tunnel.options
    if options is None or size < len(options):
        _write(core, args[1], bytes(size))
        return error("ENOENT" if options is None else "ENOMEM")
    _write(core, args[1], options.ljust(size, b"\0"))
    return len(options)


def _write(core: Core, to: Value, data: bytes) -> None:
    core.state.store(to, len(data), int.from_bytes(data, "little"))


CALLS: Mapping[str, Implementation] = {
    "bpf_skb_set_tunnel_key": _set_key,
    "bpf_skb_get_tunnel_key": _get_key,
    "bpf_skb_set_tunnel_opt": _set_opt,
    "bpf_skb_get_tunnel_opt": _get_opt,
}
