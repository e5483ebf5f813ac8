"""Programs of flow dissectors, on all machines and on Linux."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bpfheap
from bpfheap.compile import object_spec
from bpfheap.errors import KernelError
from bpfheap.kernel import Kernel
from bpfheap.spec import ObjectSpec
from on_machines import MACHINES

SOURCE = """
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

SEC("flow_dissector") int dissect(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct bpf_flow_keys *keys = skb->flow_keys;
	struct iphdr *ip = data + ETH_HLEN;
	__be16 *ports = (void *)(ip + 1);

	if (keys->nhoff != ETH_HLEN || keys->thoff != ETH_HLEN)
		return 3;
	if (keys->n_proto != bpf_htons(ETH_P_IP) || (void *)(ip + 1) > end)
		return BPF_DROP;
	keys->addr_proto = ETH_P_IP;
	keys->ip_proto = ip->protocol;
	keys->ipv4_src = ip->saddr;
	keys->ipv4_dst = ip->daddr;
	keys->thoff += 20;
	if ((void *)(ports + 2) > end)
		return BPF_FLOW_DISSECTOR_CONTINUE;
	keys->sport = ports[0];
	keys->dport = ports[1];
	return 0;
}

SEC("flow_dissector") int far(struct __sk_buff *skb)
{
	skb->flow_keys->nhoff = 3;
	skb->flow_keys->thoff = 60000;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
"""
#: Of TCP, from 10.0.0.1 port 8080 to 10.0.0.2 port 80.
PACKET = bytes.fromhex(
    "000000000000 02aabbccddee 0800 4500 0028 1234 4000 4006 0000 0a000001 0a000002"
) + bytes.fromhex("1f90 0050 00000001 00000002 5010 1000 abcd 0000")
PACKETS = {
    "whole": PACKET,
    "cut": PACKET[:36],
    "short": PACKET[:30],
    "other": PACKET[:12] + b"\x86\xdd" + PACKET[14:],
}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ObjectSpec:
    path = Path(tmp_path_factory.mktemp("flow")) / "flow.bpf.c"
    path.write_text(SOURCE)
    return object_spec(path)


def _keys(raw: bytes) -> dict[str, Any]:
    def number(at: int, order: Any = "little") -> int:
        return int.from_bytes(raw[at : at + 2], order)

    return {
        "nhoff": number(0), "thoff": number(2), "addr_proto": number(4), "ip_proto": raw[9],
        "n_proto": number(10), "sport": number(12), "dport": number(14),
        "ipv4_src": int.from_bytes(raw[16:20], "little"),
        "ipv4_dst": int.from_bytes(raw[20:24], "little"),
    }  # fmt: skip


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
@pytest.mark.parametrize("packet", PACKETS.values(), ids=PACKETS)
@pytest.mark.parametrize("name", ["dissect", "far"])
def test_as_on_linux(
    spec: ObjectSpec, machine: dict[str, Any], packet: bytes, name: str, kernel: Kernel
) -> None:
    try:
        theirs = kernel.test_run(spec, spec.programs[name], packet)
    except KernelError as error:
        pytest.skip(str(error))
    with bpfheap.Runtime(**machine) as rt:
        ours = rt.load(spec, programs=[name]).programs[name].run(data=packet)
    assert ours.retval == theirs.retval
    wanted = _keys(theirs.data_out)
    assert {name: ours.ctx.flow_keys[name] for name in wanted} == wanted


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_keys_of_ones_own(spec: ObjectSpec, machine: dict[str, Any]) -> None:
    with bpfheap.Runtime(**machine) as rt:
        program = rt.load(spec, programs=["dissect"]).programs["dissect"]
        first, second = (program.run(rt.skb(PACKET)) for _ in range(2))
    assert first.ctx.flow_keys == second.ctx.flow_keys
    assert first.retval == 0
