"""The network around programs, as a test makes it up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bpfheap
from bpfheap.errors import UsageError
from bpfheap.runtime.network import LOOPBACK, Network
from bpfheap.runtime.world import Redirect

SOURCE = """
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_helpers.h>

SEC("xdp") int forward(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct bpf_fib_lookup fib = { .family = 2, .ifindex = ctx->ingress_ifindex };

	if ((void *)(ip + 1) > end)
		return XDP_PASS;
	fib.tot_len = bpf_ntohs(ip->tot_len);
	fib.ipv4_src = ip->saddr;
	fib.ipv4_dst = ip->daddr;
	if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0))
		return XDP_PASS;
	__builtin_memcpy(eth->h_dest, fib.dmac, 6);
	__builtin_memcpy(eth->h_source, fib.smac, 6);
	return bpf_redirect(fib.ifindex, 0);
}

SEC("tc") int mirror(struct __sk_buff *skb)
{
	bpf_skb_vlan_push(skb, 0x0081, 5);
	bpf_skb_vlan_push(skb, 0x0081, 6);
	return bpf_clone_redirect(skb, 7, 1);
}

char LICENSE[] SEC("license") = "GPL";
"""
FRAME = bytes(12) + b"\x08\0" + bytes.fromhex("45000014 0000 0000 40 00 0000 0a000001 0a000102")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "net.bpf.c"
    path.write_text(SOURCE.replace("bpf_ntohs", "__builtin_bswap16"))
    return path


def test_a_packet_goes_where_the_routes_lead(machine: dict[str, Any], source: Path) -> None:
    with bpfheap.Runtime(**machine) as bpf:
        forward = bpf.load(source, programs=["forward"]).programs["forward"]
        bpf.net.device("in0", ifindex=3)
        assert forward.run({"ingress_ifindex": 3}, data=FRAME).retval == 2
        bpf.net.device("eth0", ifindex=9, mac="02:00:00:00:00:99")
        bpf.net.route("10.0.0.0/8", via="10.0.0.1", dev="eth0")
        assert forward.run({"ingress_ifindex": 3}, data=FRAME).redirects == ()
        bpf.net.neighbour("10.0.0.1", "02:00:00:00:00:01", dev="eth0")
        for _ in range(2):
            found = forward.run({"ingress_ifindex": 3}, data=FRAME)
            assert (found.retval, found.redirects) == (4, (Redirect("bpf_redirect", 9),))
        assert found.data is not None
        assert found.data[:12].hex(":") == "02:00:00:00:00:01:02:00:00:00:00:99"
        assert forward.run({"ingress_ifindex": 4}, data=FRAME).retval == 2


def test_a_copy_is_what_the_packet_was(machine: dict[str, Any], source: Path) -> None:
    with bpfheap.Runtime(**machine) as bpf:
        mirror = bpf.load(source).programs["mirror"]
        assert mirror.run(data=FRAME).retval == 0xFFFF_FFEA
        bpf.net.device("eth0", ifindex=7)
        found = mirror.run(data=FRAME)
        sent = FRAME[:12] + bytes.fromhex("81000005") + FRAME[12:]
        assert found.redirects == (Redirect("bpf_clone_redirect", 7, flags=1, data=sent),)
        assert found.retval == 0


def test_what_there_is() -> None:
    with bpfheap.Runtime(machine="model") as bpf:
        net = bpf.net
        assert net.network == Network((LOOPBACK,))
        eth = net.device("eth0", addresses="10.0.0.5/24")
        assert (eth.ifindex, eth.mac) == (2, bytes.fromhex("020000000002"))
        assert net.device("eth1", 2, mtu=9000).mtu == 9000
        assert [d.name for d in net.network.devices] == ["lo", "eth1"]
        assert net.route("default", via="fd00::1", dev=2).prefix == 0
        assert net.route("fd00::/8", dev="eth1").metric == 1024
        net.neighbour("fd00::1", bytes(6), dev=2)
        net.neighbour("fd00::1", "02-00-00-00-00-07", dev=2)
        assert [n.mac.hex() for n in net.network.neighbours] == ["020000000007"]


WRONG = {
    "no device is called": lambda net: net.device("a name that is too long"),
    "the number of a device cannot be 0": lambda net: net.device("eth0", 0),
    "is no MAC address": lambda net: net.device("eth0", mac="02:00"),
    "is no IP address": lambda net: net.device("eth0", addresses=["10.0.0.0.0"]),
    "has host bits set": lambda net: net.route("10.0.0.1/8", dev="lo"),
    "there is no device eth7": lambda net: net.route("10.0.0.0/8", dev="eth7"),
    "through no device": lambda net: net.route("10.0.0.0/8"),
    "there is no kind of route nat": lambda net: net.route("10.0.0.0/8", kind="nat"),
    "nowhere is no IP address": lambda net: net.neighbour("nowhere", bytes(6), dev="lo"),
}  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_what_cannot_be(message: str) -> None:
    made: Any = WRONG[message]
    with bpfheap.Runtime(machine="model") as bpf, pytest.raises(UsageError, match=message):
        made(bpf.net)


@pytest.mark.bpf(machine="model")
def test_the_fixture_has_it(bpf: Any, source: Path) -> None:
    bpf.net.device("eth0", ifindex=7)
    bpf.load(source)
    assert [r.to for r in bpf.programs["mirror"].run(data=FRAME).redirects] == [7]
