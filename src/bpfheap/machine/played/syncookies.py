"""SYN cookies: what is made is taken again. Their numbers are not Linux's, which differ from boot
to boot; time does not pass for them.

Sources: bpf_tcp_gen_syncookie and its like in net/core/filter.c, net/ipv4/syncookies.c,
net/ipv6/syncookies.c of Linux 6.18.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from hashlib import blake2s

from bpfheap.runtime.world import Caller, Stub, Word

_U32 = (1 << 32) - 1
#: The bits of a cookie that tell the segment size (COOKIEBITS).
_LOW = (1 << 24) - 1
#: The segment sizes that a cookie can tell of, by the version of IP (msstab).
_SIZES = {4: (536, 1300, 1440, 1460), 6: (1220, 1420, 1440, 8940)}
#: Those of who tells none.
_DEFAULTS = {4: 536, 6: 1220}
_IP_SIZES = {4: 20, 6: 40}
_TCP_SIZE = 20
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_END, _NOP, _MSS = 0, 1, 2
_LISTEN = 10


def _flow(version: int, ip: bytes, tcp: bytes) -> bytes:
    return (ip[12:20] if version == 4 else ip[8:40]) + tcp[:4]


def _hashes(flow: bytes) -> tuple[int, int]:
    raw = blake2s(flow, digest_size=8).digest()
    return int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:], "big")


def _made(version: int, ip: bytes, tcp: bytes) -> int:
    """The cookie, and above it the segment size that it tells."""
    told = _told_size(tcp) or _DEFAULTS[version]
    sizes = _SIZES[version]
    index = max((i for i, size in enumerate(sizes) if told >= size), default=0)
    first, second = _hashes(_flow(version, ip, tcp))
    seq = int.from_bytes(tcp[4:8], "big")
    cookie = (first + seq + (second + index & _LOW)) & _U32
    return sizes[index] << 32 | cookie


def _taken(version: int, ip: bytes, tcp: bytes) -> bool:
    """Was the cookie that is acknowledged made for that flow?"""
    cookie = int.from_bytes(tcp[8:12], "big") - 1
    seq = int.from_bytes(tcp[4:8], "big") - 1
    first, second = _hashes(_flow(version, ip, tcp))
    rest = (cookie - first - seq) & _U32
    return rest <= _LOW and (rest - second & _LOW) < len(_SIZES[version])


def _told_size(tcp: bytes) -> int:
    """Of the options behind a header (tcp_parse_mss_option)."""
    at, end, told = _TCP_SIZE, 4 * (tcp[12] >> 4), 0
    while at < end:
        kind = tcp[at]
        if kind == _END:
            break
        if kind == _NOP:
            at += 1
            continue
        size = tcp[at + 1] if at + 1 < end else 0
        if size < 2 or at + size > end:
            break
        if kind == _MSS and size == 4:
            told = int.from_bytes(tcp[at + 2 : at + 4], "big") or told
        at += size
    return told


def _raw_gen(version: int) -> Stub:
    def gen(call: Caller, args: Sequence[Word]) -> Word:
        size = call.number(args[2]) & _U32
        tcp = call.read(args[1], size)
        if size < _TCP_SIZE or size != 4 * (tcp[12] >> 4):
            return -errno.EINVAL
        return _made(version, call.read(args[0], _IP_SIZES[version]), tcp)

    return gen


def _raw_check(version: int) -> Stub:
    def check(call: Caller, args: Sequence[Word]) -> Word:
        ip, tcp = call.read(args[0], _IP_SIZES[version]), call.read(args[1], _TCP_SIZE)
        return 0 if _taken(version, ip, tcp) else -errno.EACCES

    return check


def _listens(call: Caller, at: Word) -> bool:
    leads = call.block(at)
    socket = None if leads is None else call.world.network.socket(leads.block)
    return socket is not None and socket.protocol == "tcp" and socket.state == _LISTEN


def _headers(call: Caller, args: Sequence[Word]) -> tuple[int, bytes, bytes]:
    """The version of IP, 0 for none, and both headers."""
    ip = call.read(args[1], call.number(args[2]) & _U32)
    tcp = call.read(args[3], call.number(args[4]) & _U32)
    version = ip[0] >> 4 if len(ip) >= _IP_SIZES[4] else 0
    if version not in _SIZES or len(ip) < _IP_SIZES[version]:
        version = 0
    return version, ip, tcp


def _gen(call: Caller, args: Sequence[Word]) -> Word:
    version, ip, tcp = _headers(call, args)
    if len(tcp) < _TCP_SIZE or len(tcp) != 4 * (tcp[12] >> 4) or not _listens(call, args[0]):
        return -errno.EINVAL
    if tcp[13] & (_SYN | _ACK | _FIN | _RST) != _SYN or not version:
        return -errno.EINVAL
    return _made(version, ip, tcp)


def _check(call: Caller, args: Sequence[Word]) -> Word:
    version, ip, tcp = _headers(call, args)
    if len(tcp) < _TCP_SIZE or not _listens(call, args[0]):
        return -errno.EINVAL
    if tcp[13] & (_ACK | _RST | _SYN) != _ACK:
        return -errno.ENOENT
    if not version:
        return -errno.EINVAL
    return 0 if _taken(version, ip, tcp) else -errno.ENOENT


CALLS: Mapping[str, Stub] = {
    "bpf_tcp_gen_syncookie": _gen,
    "bpf_tcp_check_syncookie": _check,
    "bpf_tcp_raw_gen_syncookie_ipv4": _raw_gen(4),
    "bpf_tcp_raw_gen_syncookie_ipv6": _raw_gen(6),
    "bpf_tcp_raw_check_syncookie_ipv4": _raw_check(4),
    "bpf_tcp_raw_check_syncookie_ipv6": _raw_check(6),
}
