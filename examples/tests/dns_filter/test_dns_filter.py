"""Text in a packet, byte by byte, as a key of a map."""

from __future__ import annotations

import struct
from socket import IPPROTO_UDP

import pytest

from bpfheap.testing.plugin import Bpf

OK, SHOT = 0, 2


def encoded(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def check(bpf: Bpf, file: str) -> None:
    obj = bpf.load(file)
    bad = {"text": encoded("ads.example")}
    obj.maps["blocked"][bad] = 0

    def ask(name: str, port: int = 53) -> int:
        question = struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + encoded(name) + bytes([0, 1, 0, 1])
        udp = struct.pack("!HHHH", 40000, port, 8 + len(question), 0)
        ip = bytes([0x45]) + bytes(8) + bytes([IPPROTO_UDP]) + bytes(10)
        packet = bytes(12) + b"\x08\x00" + ip + udp + question
        return obj.programs["dns_filter"].run(bpf.tc(packet)).retval

    assert ask("www.example") == ask("ads.example.org") == OK
    assert ask("ads.example") == SHOT
    assert ask("ads.example", port=5353) == OK
    assert ask("Ads.EXAMPLE") == SHOT
    assert obj.maps["blocked"][bad] == 2


def test_dns_filter(bpf: Bpf) -> None:
    check(bpf, "dns_filter.bpf.c")


def test_capitals_do_not_matter(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "dns_filter_broken.bpf.c")
