"""A socket's filter, which says how much of a packet is seen."""

from __future__ import annotations

import struct
from socket import IPPROTO_TCP, IPPROTO_UDP

import pytest

from bpfheap.testing.plugin import Bpf


def packet(protocol: int, source: int, dest: int, options: bytes = b"") -> bytes:
    ip = bytes([0x45 + len(options) // 4]) + bytes(8) + bytes([protocol]) + bytes(10) + options
    return bytes(12) + b"\x08\x00" + ip + struct.pack("!HHHH", source, dest, 8, 0)


def check(bpf: Bpf, file: str) -> None:
    program = bpf.load(file).programs["only_dns"]

    def seen(packet: bytes) -> int:
        """How many bytes; the Ethernet header comes to no such socket."""
        result = program.run(bpf.skb(packet))
        return min(result.retval, len(packet) - 14)

    question = packet(IPPROTO_UDP, 40000, 53)
    assert seen(question) == 28
    assert seen(packet(IPPROTO_UDP, 53, 40000, options=bytes(8))) == 36
    assert seen(packet(IPPROTO_UDP, 40000, 123)) == 0
    assert seen(packet(IPPROTO_TCP, 40000, 53)) == 0
    assert seen(question[:36]) == 0


def test_packet_filter(bpf: Bpf) -> None:
    check(bpf, "packet_filter.bpf.c")


def test_a_filter_tells_how_much(bpf: Bpf) -> None:
    with pytest.raises(AssertionError, match="assert 1 == 28"):
        check(bpf, "packet_filter_broken.bpf.c")
