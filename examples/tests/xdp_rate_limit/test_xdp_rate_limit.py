"""A limit that depends on the time, with a clock that the test moves."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf

PASS = 2


def check(bpf: Bpf, file: str) -> None:
    program = bpf.load(file, rodata={"per_second": 10, "burst": 3}).programs["rate_limit"]

    def passed(sender: int, count: int) -> int:
        """How many of so many packets get through."""
        ip = bytes([0x45]) + bytes(11) + bytes([10, 0, 0, sender]) + bytes(4)
        packet = bpf.xdp(bytes(12) + b"\x08\x00" + ip)
        return sum(program.run(packet).retval == PASS for _ in range(count))

    assert passed(1, 5) == 3
    assert passed(2, 1) == 1
    bpf.clock.advance(ms=210)
    assert passed(1, 5) == 2
    bpf.clock.advance(s=3600)
    assert passed(1, 5) == 3


def test_xdp_rate_limit(bpf: Bpf) -> None:
    check(bpf, "xdp_rate_limit.bpf.c")


def test_a_bucket_has_a_size(bpf: Bpf) -> None:
    with pytest.raises(AssertionError, match="assert 5 == 3"):
        check(bpf, "xdp_rate_limit_broken.bpf.c")
