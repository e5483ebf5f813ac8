"""Ways that packets take: redirects, and what devices, routes and neighbours say of them.

Source: net/core/filter.c of Linux 6.18.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bpfheap.platform.programs import Offer
from bpfheap.runtime.network import MAIN_TABLE, Device, Network, Route
from bpfheap.runtime.world import Caller, Redirect, Stub, Word

_U32 = (1 << 32) - 1
_U16 = (1 << 16) - 1
#: BPF_F_INGRESS.
_INGRESS = 1
#: What programs return to let packets go where they redirected them, and to drop them: XDP_REDIRECT
#: and XDP_ABORTED, TC_ACT_REDIRECT and TC_ACT_SHOT.
_XDP, _TC = (4, 0), (7, 2)
#: Of struct bpf_redir_neigh.
_NEIGH_SIZE = 20


def _record(call: Caller, to: int, flags: int = 0, data: bytes = b"") -> None:
    world = call.world
    made = Redirect(call.name, to, flags=flags, data=data)
    call.world = world._replace(redirects=(*world.redirects, made))


def _redirect(call: Caller, args: Sequence[Word]) -> Word:
    to, flags = call.number(args[0]) & _U32, call.number(args[1])
    xdp = call.kind is Offer.XDP
    done, refused = _XDP if xdp else _TC
    if flags & ~(0 if xdp else _INGRESS):
        return refused
    _record(call, to, flags)
    return done


def _redirect_peer(call: Caller, args: Sequence[Word]) -> Word:
    done, refused = _TC
    if call.number(args[1]):
        return refused
    _record(call, call.number(args[0]) & _U32)
    return done


def _redirect_neigh(call: Caller, args: Sequence[Word]) -> Word:
    done, refused = _TC
    size, flags = call.number(args[2]) & _U32, call.number(args[3])
    if flags or 0 < size < _NEIGH_SIZE:
        return refused
    _record(call, call.number(args[0]) & _U32, data=call.read(args[1], size) if size else b"")
    return done


# -- lengths


#: BPF_MTU_CHK_SEGS.
_SEGS = 1
_FITS, _TOO_LONG, _SEGMENT_TOO_LONG = 0, 1, 2


def _here(call: Caller) -> int:
    """The number of the device that the packet came in by; without any, lo."""
    name = "ingress_ifindex" if call.kind is Offer.XDP else "ifindex"
    return call.number(call.field(name)) or 1


def _check_mtu(call: Caller, args: Sequence[Word]) -> Word:
    ifindex, by = call.number(args[1]) & _U32, _signed(call.number(args[3]))
    flags, at = call.number(args[4]), args[2]
    given = int.from_bytes(call.read(at, 4), "little")
    skb = call.kind is not Offer.XDP
    if flags & ~(_SEGS if skb else 0) or (flags and (by or given)):
        return -errno.EINVAL
    dev = call.world.network.device(ifindex or _here(call))
    if dev is None:
        return -errno.ENODEV
    length = given + dev.header if given else len(call.packet or b"")
    fits = _signed(length + by) <= dev.mtu + dev.header
    call.write(at, dev.mtu.to_bytes(4, "little"))
    if fits:
        return _FITS
    segment = call.number(call.field("gso_size")) if skb else 0
    if not segment:
        return _TOO_LONG
    # Segments have headers of their own; how long those are, only a packet with a type tells.
    return _SEGMENT_TOO_LONG if flags and segment > dev.mtu else _FITS


def _signed(number: int) -> int:
    number &= _U32
    return number - (1 << 32) if number >> 31 else number


# -- routes


#: BPF_FIB_LOOKUP_*
_DIRECT, _OUTPUT, _SKIP_NEIGH, _TBID, _SRC, _MARK = (1 << n for n in range(6))
_FIB_FLAGS = (1 << 6) - 1
#: Of struct bpf_fib_lookup.
_FIB_SIZE = 64
#: BPF_FIB_LKUP_RET_*
_FOUND, _NOT_FORWARDED, _DISABLED, _NO_NEIGHBOUR, _NEEDS_FRAGMENTS, _NO_SOURCE = 0, 4, 5, 7, 8, 9
_LOCAL = "local"
_REFUSED = {"blackhole": 1, "unreachable": 2, "prohibit": 3, _LOCAL: _NOT_FORWARDED}
#: AF_INET, AF_INET6, by the lengths of addresses.
_FAMILIES = {2: 4, 10: 16}
_VLAN_HLEN = 4


class _Fib:
    """A struct bpf_fib_lookup in the program's memory. What is not set stays as it was."""

    def __init__(self, call: Caller, at: Word) -> None:
        self._call, self._at = call, at
        self.raw = bytearray(call.read(at, _FIB_SIZE))
        self.size = _FAMILIES.get(self.raw[0], 0)

    def number(self, at: int, size: int) -> int:
        return int.from_bytes(self.raw[at : at + size], "little")

    def set(self, at: int, size: int, value: int) -> None:
        self.raw[at : at + size] = value.to_bytes(size, "little")

    def done(self, result: int) -> int:
        self._call.write(self._at, bytes(self.raw))
        return result

    @property
    def source(self) -> bytes:
        return bytes(self.raw[16 : 16 + self.size])

    @property
    def target(self) -> bytes:
        return bytes(self.raw[32 : 32 + self.size])


class _Way(NamedTuple):
    route: Route
    dev: Device


def _fib_lookup(call: Caller, args: Sequence[Word]) -> Word:
    size, flags = call.number(args[2]) & _U32, call.number(args[3]) & _U32
    if size < _FIB_SIZE or flags & ~_FIB_FLAGS:
        return -errno.EINVAL
    fib = _Fib(call, args[1])
    if not fib.size:
        return -errno.EAFNOSUPPORT
    xdp = call.kind is Offer.XDP
    checks = xdp or fib.number(6, 2) != 0
    result = _looked_up(call.world.network, fib, flags, checks=checks)
    if result == _FOUND and not checks:
        dev = call.world.network.device(fib.number(8, 4))
        assert dev is not None
        longest = dev.mtu + dev.header + _VLAN_HLEN
        if len(call.packet or b"") > longest and not call.number(call.field("gso_size")):
            result = _NEEDS_FRAGMENTS
        fib.set(6, 2, dev.mtu & _U16)
    return fib.done(result)


def _looked_up(network: Network, fib: _Fib, flags: int, *, checks: bool) -> int:
    """bpf_ipv4_fib_lookup, bpf_ipv6_fib_lookup"""
    ipv6 = fib.size == 16
    if ipv6 and any(_stays(address) for address in (fib.source, fib.target)):
        return _NOT_FORWARDED
    dev = network.device(fib.number(8, 4))
    if dev is None:
        return -errno.ENODEV
    if not dev.forwards:
        return _DISABLED
    way = _way(network, fib, flags, dev)
    if way is None:
        return _NOT_FORWARDED
    if way.route.kind != "unicast":
        return _REFUSED[way.route.kind]
    mtu = min(way.dev.mtu, _U16) if checks else 0
    if checks and fib.number(6, 2) > mtu:
        fib.set(6, 2, mtu)
        return _NEEDS_FRAGMENTS
    fib.set(8, 4, way.dev.ifindex)
    fib.set(12, 4, way.route.metric)
    fib.raw[32 : 32 + len(way.route.via)] = way.route.via
    if way.route.via and len(way.route.via) != fib.size:
        fib.raw[0] = next(f for f, size in _FAMILIES.items() if size == len(way.route.via))
        fib.size = len(way.route.via)
    if flags & _SRC:
        source = _source(network, way, 16 if ipv6 else 4)
        if source is None and ipv6:
            return _NO_SOURCE
        source = source or bytes(4)
        fib.raw[16 : 16 + len(source)] = source
    if not flags & _SKIP_NEIGH:
        found = next((n for n in network.neighbours
                      if n.dev == way.dev.ifindex and n.address == fib.target), None)  # fmt: skip
        if found is None:
            return _NO_NEIGHBOUR
        fib.raw[52:58], fib.raw[58:64] = way.dev.mac, found.mac
    fib.set(48, 4, 0)
    if mtu:
        fib.set(6, 2, mtu)
    return _FOUND


def _stays(address: bytes) -> bool:
    """Addresses of IPv6 that are never forwarded: of one link, of many, and one's own
    (rt6_need_strict)."""
    one_link = address[0] == 0xFE and address[1] & 0xC0 == 0x80
    return address[0] == 0xFF or one_link or address == bytes(15) + b"\1"


def _way(network: Network, fib: _Fib, flags: int, dev: Device) -> _Way | None:
    """The route with the longest prefix, of those the one with the least metric."""
    ipv6, table = fib.size == 16, MAIN_TABLE
    if flags & _DIRECT and flags & _TBID:
        table = fib.number(48, 4) or MAIN_TABLE
        fib.set(48, 4, 0)
    out = dev.ifindex if flags & _OUTPUT else 0
    # One's own addresses have a table of their own, which IPv4 has merged with the main one.
    local = not flags & _DIRECT or (not ipv6 and table == MAIN_TABLE)
    found = [
        _Way(route, network.device(route.dev) or dev)
        for route in _routes(network)
        if route.table == table and _begins(fib.target, route)
        and (local or route.kind != _LOCAL)
        and (ipv6 or not out or route.dev in (0, out))
    ]  # fmt: skip

    def rank(way: _Way) -> tuple[int, bool, int]:
        # To IPv6, the device is no more than a wish (rt6_score_route).
        return -way.route.prefix, bool(out) and way.route.dev != out, way.route.metric

    return min(found, key=rank, default=None)


def _routes(network: Network) -> Iterator[Route]:
    """With those to the addresses of each device, and to their neighbours."""
    yield from network.routes
    for dev in network.devices:
        for address, prefix in dev.addresses:
            metric = 256 if len(address) == 16 else 0
            yield Route(address, prefix, dev.ifindex, metric=metric)
            yield Route(address, 8 * len(address), dev.ifindex, kind=_LOCAL)


def _source(network: Network, way: _Way, size: int) -> bytes | None:
    """The address that packets would come from: of the device, if it has any, first of all one
    beside the next hop."""
    others = [d for d in network.devices if d is not way.dev]
    found = [(address, prefix) for dev in (way.dev, *others) for address, prefix in dev.addresses
             if len(address) == size]  # fmt: skip
    near = [a for a, n in found if way.route.via and _begins(way.route.via, Route(a, n, 0))]
    return next(iter([*near, *(a for a, _ in found)]), None)


def _begins(address: bytes, route: Route) -> bool:
    if len(address) != len(route.to):
        return False
    rest = 8 * len(address) - route.prefix
    return int.from_bytes(address, "big") >> rest == int.from_bytes(route.to, "big") >> rest


CALLS: Mapping[str, Stub] = {
    "bpf_redirect": _redirect,
    "bpf_redirect_peer": _redirect_peer,
    "bpf_redirect_neigh": _redirect_neigh,
    "bpf_check_mtu": _check_mtu,
    "bpf_fib_lookup": _fib_lookup,
}
