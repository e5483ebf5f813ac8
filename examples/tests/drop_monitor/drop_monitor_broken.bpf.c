/* SPDX-License-Identifier: Apache-2.0 */
/* Packets that the kernel drops, by reason and IPv4 protocol. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#define ETH_P_IP 0x0800

struct drop {
	__u32 reason;
	__u32 protocol;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct drop);
	__type(value, __u64);
} drops SEC(".maps");

SEC("tp_btf/kfree_skb")
int BPF_PROG(packet_dropped, struct sk_buff *skb, void *location, enum skb_drop_reason reason)
{
	struct drop drop = {.reason = reason};
	__u64 *count, one = 1;
	struct iphdr ip;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return 0;
	/* The mistake: data may lead to another layer's header. */
	if (bpf_probe_read_kernel(&ip, sizeof(ip), skb->data))
		return 0;
	drop.protocol = ip.protocol;
	count = bpf_map_lookup_elem(&drops, &drop);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&drops, &drop, &one, BPF_ANY);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
