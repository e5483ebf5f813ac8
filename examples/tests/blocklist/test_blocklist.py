"""A trie, in which the longest prefix counts."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from bpfheap.testing.plugin import Bpf

DROP, PASS = 1, 2


def prefix(text: str) -> dict[str, object]:
    network = ip_network(text)
    return {"prefixlen": network.prefixlen, "address": network.network_address.packed}


def check(bpf: Bpf, file: str) -> None:
    obj = bpf.load(file)
    networks = obj.maps["networks"]
    networks[prefix("198.51.100.0/24")] = 1
    networks[prefix("198.51.100.64/28")] = 0

    def verdict(sender: str) -> int:
        ip = bytes([0x45]) + bytes(11) + ip_address(sender).packed + bytes(4)
        return obj.programs["blocklist"].run(bpf.xdp(bytes(12) + b"\x08\x00" + ip)).retval

    assert verdict("198.51.100.1") == verdict("198.51.100.255") == DROP
    assert verdict("198.51.101.1") == verdict("192.0.2.1") == PASS
    assert verdict("198.51.100.65") == PASS, "an exception"
    assert verdict("198.51.100.80") == DROP


def test_blocklist(bpf: Bpf) -> None:
    check(bpf, "blocklist.bpf.c")


def test_an_exception_is_an_entry_too(bpf: Bpf) -> None:
    with pytest.raises(AssertionError, match="an exception"):
        check(bpf, "blocklist_broken.bpf.c")
