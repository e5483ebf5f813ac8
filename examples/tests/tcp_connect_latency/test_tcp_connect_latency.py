"""Functions that are traced, the same object at both of them, and time in between."""

from __future__ import annotations

from ipaddress import ip_address
from socket import htonl, htons

import pytest

from bpfheap.testing.plugin import Bpf

SYN_SENT = 2


def check(bpf: Bpf, file: str) -> None:
    maps = bpf.load(file).maps
    peer = htonl(int(ip_address("192.0.2.1")))
    address = {"skc_state": SYN_SENT, "skc_daddr": peer, "skc_dport": htons(443)}
    sk = bpf.kernel.sock(__sk_common=address)

    bpf.current.tgid = 42
    bpf.fire("fentry/tcp_v4_connect", [sk])
    bpf.clock.advance(ms=3)
    bpf.current.tgid = 0
    bpf.fire("fentry/tcp_rcv_state_process", [sk])

    (event,) = maps["events"].records("struct event")
    assert (event.pid, event.daddr, event.dport) == (42, peer, 443)
    assert 3000 <= event.us < 3010  # to look at the clock takes a moment
    assert len(maps["connecting"]) == 0


def test_tcp_connect_latency(bpf: Bpf) -> None:
    check(bpf, "tcp_connect_latency.bpf.c")


def test_a_socket_that_goes_is_forgotten(bpf: Bpf) -> None:
    connecting = bpf.load("tcp_connect_latency.bpf.c").maps["connecting"]
    sk = bpf.kernel.sock()
    bpf.fire("fentry/tcp_v4_connect", [sk])
    assert len(connecting) == 1
    bpf.fire("fentry/tcp_v4_destroy_sock", [sk])
    assert len(connecting) == 0


def test_who_connects_is_who_called(bpf: Bpf) -> None:
    with pytest.raises(AssertionError):
        check(bpf, "tcp_connect_latency_broken.bpf.c")
