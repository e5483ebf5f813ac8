"""Addresses that a program puts in place of others."""

from __future__ import annotations

from ipaddress import ip_address
from socket import IPPROTO_TCP, IPPROTO_UDP, htonl, htons

import pytest

from bpfheap.testing.plugin import Bpf


def network(address: str) -> int:
    return htonl(int(ip_address(address)))


def place(address: str, port: int, protocol: int = IPPROTO_TCP) -> dict[str, int]:
    return {"address": network(address), "port": port, "protocol": protocol}


def check(bpf: Bpf, file: str) -> None:
    obj = bpf.load(file)
    obj.maps["services"][place("10.96.0.1", 80)] = place("10.1.2.3", 8080)

    def connect(address: str, port: int, protocol: int = IPPROTO_TCP) -> tuple[int, int]:
        """Where that leads to."""
        to = bpf.context(user_ip4=network(address), user_port=htons(port), protocol=protocol)
        result = obj.programs["redirect"].run(to)
        assert result.retval == 1
        return result.ctx.user_ip4, result.ctx.user_port

    assert connect("10.96.0.1", 80) == (network("10.1.2.3"), htons(8080))
    assert connect("10.96.0.1", 81) == (network("10.96.0.1"), htons(81))
    assert connect("10.96.0.1", 80, IPPROTO_UDP) == (network("10.96.0.1"), htons(80))


def test_connect_redirect(bpf: Bpf) -> None:
    check(bpf, "connect_redirect.bpf.c")


def test_a_port_has_16_bits(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "connect_redirect_broken.bpf.c")
