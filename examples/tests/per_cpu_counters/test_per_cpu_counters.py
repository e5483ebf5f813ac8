"""A map with a value for each CPU, and runs on several."""

from __future__ import annotations

import pytest

from bpfheap.testing.plugin import Bpf

IPV4, ARP = 0x0800, 0x0806

pytestmark = pytest.mark.bpf(cpus=4)


def check(bpf: Bpf, file: str) -> None:
    obj = bpf.load(file)
    for cpu, protocol, size in ((0, IPV4, 100), (0, IPV4, 60), (3, IPV4, 1500), (1, ARP, 60)):
        packet = bytes(12) + protocol.to_bytes(2, "big") + bytes(size - 14)
        obj.programs["count"].run(bpf.xdp(packet), cpu=cpu)

    ipv4, arp = obj.maps["protocols"][IPV4], obj.maps["protocols"][ARP]
    assert [cpu.packets for cpu in ipv4] == [2, 0, 0, 1]
    assert [cpu.bytes for cpu in ipv4] == [160, 0, 0, 1500]
    assert sum(cpu.packets for cpu in arp) == 1


def test_per_cpu_counters(bpf: Bpf) -> None:
    check(bpf, "per_cpu_counters.bpf.c")


def test_the_first_packet_counts(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "per_cpu_counters_broken.bpf.c")
