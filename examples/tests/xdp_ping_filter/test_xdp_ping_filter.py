"""Headers one inside the other."""

from __future__ import annotations

import struct
from socket import IPPROTO_ICMP

import pytest

from bpfheap.testing.plugin import Bpf

DROP, PASS = 1, 2
PING, ANSWER = 8, 0


def packet(icmp: int, *vlans: tuple[int, int]) -> bytes:
    """A message of ICMP in VLANs: what each is called in front of it, and its number."""
    head = bytes(12)
    for protocol, number in vlans:
        head += struct.pack("!HH", protocol, number)
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, 28, 0, 0, 64, IPPROTO_ICMP, 0, 0x0A000001, 0x0A000002)
    return head + b"\x08\x00" + ip + bytes([icmp]) + bytes(7)


def check(bpf: Bpf, file: str) -> None:
    program = bpf.load(file).programs["ping_filter"]
    expected = {
        packet(PING): DROP,
        packet(ANSWER): PASS,
        packet(PING, (0x8100, 5)): DROP,
        packet(ANSWER, (0x8100, 5)): PASS,
        packet(PING)[:30]: PASS,
        packet(PING, (0x88A8, 7), (0x8100, 5)): DROP,
    }
    for sent, verdict in expected.items():
        assert program.run(bpf.xdp(sent)).retval == verdict, sent.hex()


def test_xdp_ping_filter(bpf: Bpf) -> None:
    check(bpf, "xdp_ping_filter.bpf.c")


def test_a_vlan_inside_a_vlan(bpf: Bpf) -> None:
    with pytest.raises(AssertionError, match="88a80007"):
        check(bpf, "xdp_ping_filter_broken.bpf.c")
