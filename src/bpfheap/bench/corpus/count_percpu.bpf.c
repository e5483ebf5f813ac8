/* SPDX-License-Identifier: Apache-2.0 */
/* Per-CPU counters of packets by protocol. */
#include "corpus.h"

struct counter {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct counter);
} counters SEC(".maps");

SEC("tc")
int count_percpu(struct __sk_buff *skb)
{
	__u32 key;
	struct counter *counter;

	switch (bpf_ntohs(skb->protocol)) {
	case ETH_P_IP:
		key = 0;
		break;
	case ETH_P_IPV6:
		key = 1;
		break;
	case ETH_P_8021Q:
	case ETH_P_8021AD:
		key = 2;
		break;
	default:
		key = 3;
	}
	counter = bpf_map_lookup_elem(&counters, &key);
	if (!counter)
		return TC_ACT_SHOT;
	counter->packets++;
	counter->bytes += skb->len;
	return TC_ACT_OK;
}
