"""The network around programs, as somebody makes it up: plain data that never changes. Addresses
are bytes in the order of the network, 4 or 16 of them."""

from __future__ import annotations

from typing import NamedTuple

#: RT_TABLE_MAIN.
MAIN_TABLE = 254


class Device(NamedTuple):
    """A network device. `header`: the bytes in front of what `mtu` counts. `forwards`: packets that
    come in there may go on to other devices. `addresses`: its own, with the lengths of prefixes."""

    name: str
    ifindex: int
    mtu: int = 1500
    mac: bytes = bytes(6)
    header: int = 14
    forwards: bool = True
    addresses: tuple[tuple[bytes, int], ...] = ()


class Route(NamedTuple):
    """A way to the addresses that begin as `to` does, for `prefix` bits, through a device, by its
    number. `via`: the address of the next hop, empty where they are neighbours. `kind`: unicast,
    or why there is none."""

    to: bytes
    prefix: int
    dev: int
    via: bytes = b""
    metric: int = 0
    table: int = MAIN_TABLE
    kind: str = "unicast"


class Neighbour(NamedTuple):
    """Who is behind a device, by its number."""

    address: bytes
    mac: bytes
    dev: int


class Socket(NamedTuple):
    """A socket. `block`: its struct bpf_sock. `remote` has no address where it is connected with
    nobody. `state` is TCP's. `listener`: the block of the socket that a connection which is about
    to be made belongs to. `options`: by level and name. `views`: other structs that it is, by name,
    and their blocks. `cgroups`: its control groups' ids, the root's first."""

    block: int
    protocol: str
    local: tuple[bytes, int]
    remote: tuple[bytes, int]
    state: int
    dev: int = 0
    listener: int = 0
    cookie: int = 0
    uid: int = 0
    cgroups: tuple[int, ...] = (1,)
    classid: int = 0
    options: tuple[tuple[int, int, bytes], ...] = ()
    views: tuple[tuple[str, int], ...] = ()

    def view(self, name: str) -> int:
        """The block of another struct that it is; 0 if it is none."""
        return dict(self.views).get(name, 0)


#: Each network has it.
LOOPBACK = Device("lo", 1, 65536)


class Network(NamedTuple):
    """What there is of it."""

    devices: tuple[Device, ...] = (LOOPBACK,)
    routes: tuple[Route, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    sockets: tuple[Socket, ...] = ()
    #: The block of the socket that bpf_sk_assign chose in this run.
    assigned: int = 0

    def socket(self, block: int) -> Socket | None:
        """By any of its blocks."""
        for found in self.sockets:
            if block == found.block or any(block == view for _, view in found.views):
                return found
        return None

    def device(self, ifindex: int) -> Device | None:
        return next((d for d in self.devices if d.ifindex == ifindex), None)
