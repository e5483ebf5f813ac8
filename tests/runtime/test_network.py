"""What there is of a network is found by its numbers."""

from __future__ import annotations

from bpfheap.runtime.network import LOOPBACK, Device, Network, Socket

ETH0 = Device("eth0", 2, 1500)
NOBODY = (bytes(4), 0)
SOCKET = Socket(5, "tcp", (b"\x7f\0\0\1", 80), NOBODY, 10, views=(("tcp_sock", 7),))
NETWORK = Network((LOOPBACK, ETH0), sockets=(SOCKET,))


def test_sockets_by_any_of_their_structs() -> None:
    assert NETWORK.socket(5) is NETWORK.socket(7) is SOCKET
    assert NETWORK.socket(6) is None
    assert (SOCKET.view("tcp_sock"), SOCKET.view("udp_sock")) == (7, 0)


def test_devices_by_number() -> None:
    assert [NETWORK.device(n) for n in (1, 2, 3)] == [LOOPBACK, ETH0, None]
