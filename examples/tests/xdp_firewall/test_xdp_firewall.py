"""Packets of bytes, rules in a map, and counters in the rules."""

from __future__ import annotations

import struct
from socket import IPPROTO_TCP, IPPROTO_UDP

import pytest

from bpfheap.testing.plugin import Bpf

DROP, PASS = 1, 2


def packet(protocol: int, port: int, options: bytes = b"") -> bytes:
    """To a port of 192.0.2.1."""
    words = 5 + len(options) // 4
    ethernet = bytes(12) + b"\x08\x00"
    ip = struct.pack("!BBHHHBBH", 0x40 | words, 0, 28 + len(options), 0, 0, 64, protocol, 0)
    return (
        ethernet
        + ip
        + bytes([198, 51, 100, 7, 192, 0, 2, 1])
        + options
        + struct.pack("!HHI", 12345, port, 0)
    )


def check(bpf: Bpf, file: str) -> None:
    obj = bpf.load(file)
    telnet = {"port": 23, "protocol": IPPROTO_TCP}
    blocked = obj.maps["blocked"]
    blocked[telnet] = 0

    def verdict(packet: bytes) -> int:
        return obj.programs["firewall"].run(bpf.xdp(packet)).retval

    assert verdict(packet(IPPROTO_TCP, 23)) == DROP
    assert verdict(packet(IPPROTO_TCP, 80)) == PASS
    assert verdict(packet(IPPROTO_UDP, 23)) == PASS
    assert blocked[telnet] == 1
    # A packet with options of IP is no way around the rule, and neither is one that is cut.
    assert verdict(packet(IPPROTO_TCP, 23, options=b"\1" * 4)) == DROP
    assert verdict(packet(IPPROTO_TCP, 23)[:36]) == DROP


def test_xdp_firewall(bpf: Bpf) -> None:
    check(bpf, "xdp_firewall.bpf.c")


def test_headers_may_have_options(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "xdp_firewall_broken.bpf.c")
