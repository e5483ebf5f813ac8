"""The network around programs: devices, routes, neighbours, sockets."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from bpfheap.api.arguments import octets, one_of, shown, whole
from bpfheap.api.kernel.kernel import Kernel
from bpfheap.api.kernel.objects import KernelObject, address_of
from bpfheap.errors import UsageError
from bpfheap.platform.programs.socket_types import TCP_SOCK
from bpfheap.runtime.network import MAIN_TABLE, Device, Neighbour, Network, Route, Socket
from bpfheap.runtime.world import Leads

_U32 = (1 << 32) - 1
#: The name of a device is shorter (IFNAMSIZ).
_NAME = 16
_KINDS = ("unicast", "blackhole", "unreachable", "prohibit")
#: IP6_RT_PRIO_USER: what routes of IPv6 have as their metric unless somebody says another.
_METRIC6 = 1024


_PORTS = (1 << 16) - 1
#: SOCK_STREAM or SOCK_DGRAM, and IPPROTO_*.
_TYPES = {"tcp": (1, 6), "udp": (2, 17), "unix": (1, 0)}
#: TCP_* (net/tcp_states.h).
_STATES = {
    "ESTABLISHED": 1, "SYN_SENT": 2, "SYN_RECV": 3, "FIN_WAIT1": 4, "FIN_WAIT2": 5, "TIME_WAIT": 6,
    "CLOSE": 7, "CLOSE_WAIT": 8, "LAST_ACK": 9, "LISTEN": 10, "CLOSING": 11, "NEW_SYN_RECV": 12,
}  # fmt: skip


class Net:
    """The network that programs ask of: `bpf.net.device("eth0", ifindex=2)`. There is a device from
    the beginning, lo, with the number 1."""

    __slots__ = ("_kernel",)

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    @property
    def network(self) -> Network:
        """All that there is."""
        return self._kernel.machine.world.network

    def device(
        self,
        name: str,
        ifindex: int | None = None,
        *,
        mtu: int = 1500,
        mac: Any = None,
        addresses: Any = (),
        forwards: bool = True,
    ) -> Device:
        """A device, in place of another one of that name or number. Without `ifindex`, it has the
        next number; without `mac`, 02:00 and that number. `addresses` are its own, such as
        "10.0.0.5/24": there is a route to their neighbours. It `forwards` packets unless somebody
        says that it does not. Raises UsageError."""
        known = self.network.devices
        if not isinstance(name, str) or not 0 < len(name) < _NAME:
            raise UsageError(
                f"no device is called {shown(name)}", hint=f"a name has 1 to {_NAME - 1} letters"
            )
        number = max(d.ifindex for d in known) + 1 if ifindex is None else ifindex
        number = whole(number, "the number of a device", 1, _U32)
        made = Device(
            name,
            number,
            whole(mtu, "a device's MTU", 0, _U32),
            b"\2\0" + number.to_bytes(4, "big") if mac is None else _mac(mac),
            forwards=bool(forwards),
            addresses=tuple(_interface(one) for one in _several(addresses)),
        )
        kept = tuple(d for d in known if d.ifindex != number and d.name != name)
        self._change(devices=(*kept, made))
        return made

    def route(
        self,
        to: str,
        via: Any = None,
        *,
        dev: str | int | None = None,
        metric: int | None = None,
        table: int = MAIN_TABLE,
        kind: str = "unicast",
    ) -> Route:
        """A route to a network such as "10.0.0.0/8", or "default": through a device, by its name or
        number, and there to the next hop `via`. `kind` may be "blackhole", "unreachable" or
        "prohibit" instead. Raises UsageError."""
        one_of(kind, "kind of route", _KINDS)
        hop = b"" if via is None else _address(via)
        address, prefix = _prefix(to, len(hop))
        if kind == "unicast" and dev is None:
            raise UsageError(f"a route to {to} through no device", hint='dev="eth0"')
        if metric is None:
            metric = _METRIC6 if len(address) == 16 else 0
        made = Route(
            address,
            prefix,
            0 if dev is None else self._number(dev),
            hop,
            whole(metric, "a route's metric", 0, _U32),
            whole(table, "the number of a table", 0, _U32),
            kind,
        )
        self._change(routes=(*self.network.routes, made))
        return made

    def neighbour(self, address: Any, mac: Any, *, dev: str | int) -> Neighbour:
        """Who is behind a device: an IP address, and the MAC address that packets to it go to.
        Raises UsageError."""
        made = Neighbour(_address(address), _mac(mac), self._number(dev))
        kept = tuple(
            n for n in self.network.neighbours if (n.address, n.dev) != (made.address, made.dev)
        )
        self._change(neighbours=(*kept, made))
        return made

    def socket(
        self,
        protocol: str,
        local: tuple[Any, int] | None = None,
        remote: tuple[Any, int] | None = None,
        state: str | None = None,
        *,
        listener: KernelObject | None = None,
        dev: str | int | None = None,
        cookie: int | None = None,
        uid: int = 0,
        cgroups: Any = (1,),
        classid: int = 0,
        **members: Any,
    ) -> KernelObject:
        """A socket that programs find by its addresses and ports: `protocol` is "tcp", "udp" or
        "unix", `local` such as ("10.0.0.1", 80). Gives its struct bpf_sock, of which `members` are
        set; `view` gives what it is besides. `state` is TCP's; without one, who has a `remote` is
        ESTABLISHED, and who has none listens. A connection that is about to be made, NEW_SYN_RECV,
        names its `listener`. `dev`: the one device that it belongs to. `cookie`, `uid`, `cgroups`
        (ids, the root's first) and `classid` are what calls tell of it. Raises UsageError."""
        kernel = self._kernel
        one_of(protocol, "protocol", _TYPES)
        mine, other = _end(local, protocol), _end(remote, protocol)
        if remote is not None and len(mine[0]) != len(other[0]):
            raise UsageError("the ends of a connection have addresses of one kind")
        if state is None:
            state = "ESTABLISHED" if remote else "LISTEN" if protocol == "tcp" else "CLOSE"
        number = one_of(state, "state", _STATES) and _STATES[state]
        if listener is not None:
            kernel.check_mine(listener)
        sock = kernel.new("struct bpf_sock", **_shown(protocol, mine, other, number))
        sock.set(**({} if dev is None else {"bound_dev_if": self._number(dev)}), **members)
        sockets = self.network.sockets
        made = Socket(
            address_of(sock).block,
            protocol,
            mine,
            other,
            number,
            0 if dev is None else self._number(dev),
            0 if listener is None else address_of(listener).block,
            whole(len(sockets) + 1 if cookie is None else cookie, "a socket's cookie"),
            whole(uid, "a socket's uid", 0, _U32),
            tuple(whole(one, "the id of a control group") for one in cgroups),
            classid=whole(classid, "a socket's classid", 0, _U32),
            views=tuple(self._views(protocol, number, len(mine[0]) == 16)),
        )
        if not made.cgroups:
            raise UsageError("a socket is in one control group at least")
        self._change(sockets=(*sockets, made))
        return sock

    def view(self, sock: KernelObject, struct: str) -> KernelObject:
        """The same socket as another struct: "bpf_tcp_sock", or, where there is BTF of a kernel,
        what bpf_skc_to_tcp_sock and its like give, "tcp_sock". Raises UsageError if it is none."""
        self._kernel.check_mine(sock)
        found = self.network.socket(address_of(sock).block)
        block = 0 if found is None else found.view(struct)
        if not block:
            views = "" if found is None else ", ".join(name for name, _ in found.views)
            raise UsageError(
                f"that is no socket with a struct {struct}", hint=f"it has {views or 'none'}"
            )
        return KernelObject(self._kernel, self._kernel.types_of[block], Leads(block))

    def close(self, sock: KernelObject) -> None:
        """Nobody finds the socket any more. Raises UsageError if there is no such one."""
        self._kernel.check_mine(sock)
        found = self.network.socket(address_of(sock).block)
        if found is None:
            raise UsageError("that is no socket of this network")
        self._change(sockets=tuple(s for s in self.network.sockets if s is not found))

    @property
    def assigned(self) -> KernelObject | None:
        """The socket that bpf_sk_assign chose in the last run, if it chose one."""
        block = self.network.assigned
        if not block:
            return None
        return KernelObject(self._kernel, self._kernel.types_of[block], Leads(block))

    def _views(self, protocol: str, state: int, ipv6: bool) -> Iterator[tuple[str, int]]:
        kernel = self._kernel
        full = state not in (_STATES["TIME_WAIT"], _STATES["NEW_SYN_RECV"])
        names = {
            TCP_SOCK.view: protocol == "tcp" and full,
            "tcp_sock": protocol == "tcp" and full,
            "tcp6_sock": protocol == "tcp" and full and ipv6,
            "tcp_timewait_sock": protocol == "tcp" and state == _STATES["TIME_WAIT"],
            "tcp_request_sock": protocol == "tcp" and state == _STATES["NEW_SYN_RECV"],
            "udp6_sock": protocol == "udp" and ipv6,
            "unix_sock": protocol == "unix",
        }
        for name, is_that in names.items():
            of = kernel.types.find(f"struct {name}") if is_that else None
            if of is not None:
                yield name, address_of(kernel.make(of, {})).block

    def _number(self, dev: str | int) -> int:
        """Of a device that is there."""
        for known in self.network.devices:
            if dev in (known.name, known.ifindex):
                return known.ifindex
        names = ", ".join(d.name for d in self.network.devices)
        raise UsageError(f"there is no device {shown(dev)}", hint=f"there are {names}")

    def _change(self, **facts: Any) -> None:
        machine = self._kernel.machine
        world = machine.world
        machine.world = world._replace(network=world.network._replace(**facts))


def _end(given: Any, protocol: str) -> tuple[bytes, int]:
    """An address and a port."""
    if given is None or protocol == "unix":
        return b"", 0
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise UsageError(f"{shown(given)} is no end of a socket", hint='("10.0.0.1", 80)')
    return _address(given[0]), whole(given[1], "a port", 0, _PORTS)


def _shown(
    protocol: str, local: tuple[bytes, int], remote: tuple[bytes, int], state: int
) -> dict[str, Any]:
    """Members of struct bpf_sock."""
    kind, number = _TYPES[protocol]
    members: dict[str, Any] = {
        "family": {0: 1, 4: 2, 16: 10}[len(local[0])],
        "type": kind,
        "protocol": number,
        "state": state,
        "src_port": local[1],
        "dst_port": int.from_bytes(remote[1].to_bytes(2, "big"), "little"),
    }
    for name, (address, _) in (("src", local), ("dst", remote)):
        words = [int.from_bytes(address[at : at + 4], "little") for at in range(0, len(address), 4)]
        if words:
            members[f"{name}_ip6" if len(words) > 1 else f"{name}_ip4"] = (
                words if len(words) > 1 else words[0]
            )
    return members


def _several(given: Any) -> tuple[Any, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _address(given: Any) -> bytes:
    """Of IPv4 or IPv6, as bytes."""
    try:
        return ip_address(given).packed
    except ValueError:
        raise UsageError(f"{shown(given)} is no IP address") from None


def _interface(given: Any) -> tuple[bytes, int]:
    try:
        found = ip_interface(given)
    except ValueError:
        raise UsageError(f"{shown(given)} is no IP address", hint="10.0.0.5/24") from None
    return found.ip.packed, found.network.prefixlen


def _prefix(given: Any, like: int) -> tuple[bytes, int]:
    """A network; the default one is of the same family as an address of `like` bytes."""
    if given == "default":
        return bytes(like or 4), 0
    try:
        found = ip_network(given)
    except ValueError as error:
        raise UsageError(f"{shown(given)} is no network: {error}", hint="10.0.0.0/8") from None
    return found.network_address.packed, found.prefixlen


def _mac(given: Any) -> bytes:
    if not isinstance(given, str):
        raw = octets(given, "a MAC address")
    else:
        try:
            raw = bytes.fromhex(given.replace(":", "").replace("-", ""))
        except ValueError:
            raw = b""
    if len(raw) != 6:
        raise UsageError(f"{shown(given)} is no MAC address", hint="02:00:00:00:00:01")
    return raw
