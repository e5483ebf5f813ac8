"""A network around the program: devices, routes and neighbours."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest

from bpfheap import RunResult
from bpfheap.testing.plugin import Bpf

DROP, PASS, REDIRECT = 1, 2, 4


def packet(dest: str, ttl: int = 64) -> bytes:
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, ttl, 17, 0) + ip_address("10.1.0.9").packed
    return bytes(12) + b"\x08\x00" + ip + ip_address(dest).packed + bytes(8)


def check(bpf: Bpf, file: str) -> None:
    bpf.net.device("lan", ifindex=2, mac="02:00:00:00:00:02")
    bpf.net.device("wan", ifindex=3, mac="02:00:00:00:00:03")
    bpf.net.route("0.0.0.0/0", via="192.0.2.1", dev="wan")
    bpf.net.neighbour("192.0.2.1", "02:00:00:00:00:aa", dev="wan")
    bpf.net.route("198.51.100.0/24", kind="blackhole")
    program = bpf.load(file).programs["route"]

    def forward(packet: bytes) -> RunResult:
        return program.run(bpf.xdp(packet, ingress_ifindex=2))

    sent = forward(packet("203.0.113.5"))
    assert (sent.retval, [to.to for to in sent.redirects]) == (REDIRECT, [3])
    assert sent.data is not None
    assert sent.data[:12].hex() == "0200000000aa020000000003"
    assert sent.data[22] == 63
    assert forward(packet("198.51.100.1")).retval == DROP
    assert forward(packet("203.0.113.5", ttl=1)).retval == PASS


def test_router(bpf: Bpf) -> None:
    check(bpf, "router.bpf.c")


def test_packets_come_to_an_end(bpf: Bpf) -> None:
    with pytest.raises(AssertionError, match="assert 4 == 2"):
        check(bpf, "router_broken.bpf.c")
