"""The network around programs: devices, routes, neighbours."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from bpfheap.api.arguments import octets, one_of, shown, whole
from bpfheap.api.kernel.kernel import Kernel
from bpfheap.errors import UsageError
from bpfheap.runtime.network import MAIN_TABLE, Device, Neighbour, Network, Route

_U32 = (1 << 32) - 1
#: The name of a device is shorter (IFNAMSIZ).
_NAME = 16
_KINDS = ("unicast", "blackhole", "unreachable", "prohibit")
#: IP6_RT_PRIO_USER: what routes of IPv6 have as their metric unless somebody says another.
_METRIC6 = 1024


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
