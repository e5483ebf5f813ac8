"""A struct sk_buff with a packet in it."""

from __future__ import annotations

import struct
from socket import IPPROTO_TCP, IPPROTO_UDP, htons
from typing import Any

import pytest

from bpfheap.testing.plugin import Bpf

ETHERNET, NO_SOCKET, TCP_CSUM = 14, 3, 5


def packet(bpf: Bpf, protocol: int) -> Any:
    """A buffer with an IPv4 packet, which has come to its Ethernet header."""
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, 20, 0, 0, 64, protocol, 0, 0x7F000001, 0x7F000001)
    skb = bpf.kernel.sk_buff(protocol=htons(0x0800), network_header=ETHERNET)
    skb.head = skb.data = bytes(ETHERNET) + ip + bytes(8)
    return skb


def check(bpf: Bpf, file: str) -> None:
    drops = bpf.load(file).maps["drops"]
    for protocol, reason in ((IPPROTO_UDP, NO_SOCKET), (IPPROTO_TCP, TCP_CSUM)) * 2:
        skb = packet(bpf, protocol)
        bpf.fire("tp_btf/kfree_skb", [skb, 0, reason])
    bpf.fire("tp_btf/kfree_skb", [bpf.kernel.sk_buff(protocol=htons(0x86DD)), 0, NO_SOCKET])

    seen = {(drop.reason, drop.protocol): count for drop, count in drops.items()}
    assert seen == {(NO_SOCKET, IPPROTO_UDP): 2, (TCP_CSUM, IPPROTO_TCP): 2}


def test_drop_monitor(bpf: Bpf) -> None:
    check(bpf, "drop_monitor.bpf.c")


def test_where_the_header_is(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "drop_monitor_broken.bpf.c")
