"""Fields of a context that a program reads, and what it leaves in them."""

from __future__ import annotations

from socket import IPPROTO_ICMP, IPPROTO_UDP
from typing import Any

import pytest

from bpfheap.testing.plugin import Bpf

BULK, VOICE = 1, 6


def check(bpf: Bpf, file: str) -> None:
    obj = bpf.load(file)
    obj.maps["classes"].update(5060, VOICE)
    obj.maps["classes"].update(873, BULK)

    def sent(port: int, mark: int = 0, protocol: int = IPPROTO_UDP) -> Any:
        """The context of a packet that was sent to a port."""
        ip = bytes([0x45]) + bytes(8) + bytes([protocol]) + bytes(10)
        packet = bytes(12) + b"\x08\x00" + ip + bytes(2) + port.to_bytes(2, "big") + bytes(4)
        skb = bpf.tc(packet, mark=mark)
        return obj.programs["mark_packets"].run(skb).ctx

    skb = sent(5060)
    assert (skb.mark, skb.priority) == (0x600, VOICE)
    assert sent(873).mark == 0x100
    assert sent(80).mark == sent(873, protocol=IPPROTO_ICMP).mark == 0
    # A VPN has marked it, and it had another class before.
    assert sent(5060, mark=0xCAFE_8100).mark == 0xCAFE_8600


def test_egress_mark(bpf: Bpf) -> None:
    check(bpf, "egress_mark.bpf.c")


def test_the_rest_of_the_mark_stays(bpf: Bpf) -> None:
    with pytest.raises(AssertionError, match=str(0xCAFE_8600)):
        check(bpf, "egress_mark_broken.bpf.c")
