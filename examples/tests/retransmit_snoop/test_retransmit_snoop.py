"""Perf events, which each CPU has a buffer of its own for."""

from __future__ import annotations

from ipaddress import ip_address
from socket import AF_INET, AF_INET6, htonl, htons

import pytest

from bpfheap.testing.plugin import Bpf

SYN_SENT = 2


def check(bpf: Bpf, file: str) -> None:
    obj = bpf.load(file)
    events = obj.maps["events"]
    here, there = (htonl(int(ip_address(a))) for a in ("10.0.0.1", "192.0.2.1"))
    sock = bpf.kernel.sock(
        __sk_common={
            "skc_family": AF_INET,
            "skc_state": SYN_SENT,
            "skc_rcv_saddr": here,
            "skc_daddr": there,
            "skc_num": 40000,
            "skc_dport": htons(443),
        }
    )
    for cpu in (0, 1):
        obj.programs["sent_again"].run([sock], cpu=cpu)
    sock["__sk_common.skc_family"] = AF_INET6
    obj.programs["sent_again"].run([sock])

    for cpu in (0, 1):
        seen = [tuple(event.values()) for event in events.records("struct event", cpu=cpu)]
        assert seen == [(here, there, 40000, 443, SYN_SENT)], f"CPU {cpu}"


def test_retransmit_snoop(bpf: Bpf) -> None:
    check(bpf, "retransmit_snoop.bpf.c")


def test_each_cpu_has_its_buffer(bpf: Bpf) -> None:
    with pytest.raises(AssertionError, match="CPU 1"):
        check(bpf, "retransmit_snoop_broken.bpf.c")
