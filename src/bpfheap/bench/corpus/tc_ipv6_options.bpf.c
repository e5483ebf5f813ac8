/* SPDX-License-Identifier: Apache-2.0 */
/* Walks the extension headers of IPv6 until it meets TCP or UDP. */
#include "corpus.h"

struct option_hdr {
	__u8 nexthdr;
	__u8 len;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} protocols SEC(".maps");

SEC("tc")
int tc_ipv6_options(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	struct ipv6hdr *ip = (void *)(eth + 1);
	void *next = ip + 1;
	__u32 protocol;
	__u64 *count;

	if (next > data_end || eth->h_proto != bpf_htons(ETH_P_IPV6))
		return TC_ACT_OK;
	protocol = ip->nexthdr;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 6; i++) {
		struct option_hdr *option = next;

		if (protocol != 0 && protocol != 43 && protocol != 60)
			break;
		if ((void *)(option + 1) > data_end)
			return TC_ACT_SHOT;
		protocol = option->nexthdr;
		next += (option->len + 1) * 8;
	}
	count = bpf_map_lookup_elem(&protocols, &protocol);
	if (count)
		*count += 1;
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP ? TC_ACT_OK : TC_ACT_SHOT;
}
