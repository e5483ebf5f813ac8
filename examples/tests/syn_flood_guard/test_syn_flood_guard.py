"""Flags of a header, and counters that begin anew with each second."""

from __future__ import annotations

import struct
from socket import IPPROTO_TCP

import pytest

from bpfheap.testing.plugin import Bpf

DROP, PASS = 1, 2
SYN, ACK = 0x02, 0x10


def segment(bpf: Bpf, flags: int) -> object:
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, 40, 0, 0, 64, IPPROTO_TCP, 0, 0xC6336407, 0xC0000201)
    tcp = struct.pack("!HHIIBBHHH", 40000, 443, 1, 0, 5 << 4, flags, 1024, 0, 0)
    return bpf.xdp(bytes(12) + b"\x08\x00" + ip + tcp)


def check(bpf: Bpf, file: str) -> None:
    program = bpf.load(file, rodata={"most": 3}).programs["syn_guard"]

    def verdicts(flags: int, count: int) -> list[int]:
        return [program.run(segment(bpf, flags)).retval for _ in range(count)]

    assert verdicts(SYN, 5) == [PASS, PASS, PASS, DROP, DROP]
    assert verdicts(ACK, 5) == [PASS] * 5
    bpf.clock.advance(s=1)
    assert verdicts(SYN, 3) == [PASS] * 3
    # The connections of this machine are still answered.
    assert verdicts(SYN | ACK, 5) == [PASS] * 5


def test_syn_flood_guard(bpf: Bpf) -> None:
    check(bpf, "syn_flood_guard.bpf.c")


def test_answers_are_no_flood(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "syn_flood_guard_broken.bpf.c")
