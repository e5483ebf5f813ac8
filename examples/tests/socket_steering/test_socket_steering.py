"""A socket in a map, and which one a program chooses."""

from __future__ import annotations

from socket import AF_INET, IPPROTO_TCP, IPPROTO_UDP

import pytest

from bpfheap.testing.plugin import Bpf

DROP, PASS = 0, 1


def check(bpf: Bpf, file: str) -> None:
    obj = bpf.load(file)
    sock = bpf.net.socket("tcp", local=("10.0.0.1", 7000))

    def chosen(port: int, protocol: int = IPPROTO_TCP) -> object:
        """DROP, PASS for nobody in particular, or the socket."""
        asked = bpf.context(family=AF_INET, protocol=protocol, local_port=port)
        result = obj.programs["steer"].run(asked)
        return bpf.net.assigned or result.retval

    assert chosen(7000) == DROP
    obj.maps["server"][0] = sock
    assert chosen(7000) == chosen(7999) == sock
    assert chosen(6999) == chosen(8000) == PASS
    assert chosen(7000, IPPROTO_UDP) == PASS


def test_socket_steering(bpf: Bpf) -> None:
    check(bpf, "socket_steering.bpf.c")


def test_the_order_of_a_ports_bytes(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "socket_steering_broken.bpf.c")
