/* SPDX-License-Identifier: Apache-2.0 */
/* Counts bytes by flow: looks a key up and makes the element where there is none. */
#include "corpus.h"

struct flow {
	__u32 saddr;
	__u32 daddr;
	__u32 ports;
	__u32 protocol;
};

struct traffic {
	__u64 packets;
	__u64 bytes;
	__u64 first_ns;
	__u64 last_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct flow);
	__type(value, struct traffic);
} flows SEC(".maps");

SEC("tc")
int count_flows(struct __sk_buff *skb)
{
	struct flow flow = {
		.saddr = skb->cb[0],
		.daddr = skb->cb[1],
		.ports = skb->cb[2],
		.protocol = skb->protocol,
	};
	__u64 now = bpf_ktime_get_ns();
	struct traffic *found = bpf_map_lookup_elem(&flows, &flow);

	if (!found) {
		struct traffic fresh = {.packets = 1, .bytes = skb->len, .first_ns = now, .last_ns = now};

		bpf_map_update_elem(&flows, &flow, &fresh, BPF_NOEXIST);
		return TC_ACT_OK;
	}
	__sync_fetch_and_add(&found->packets, 1);
	__sync_fetch_and_add(&found->bytes, skb->len);
	found->last_ns = now;
	return TC_ACT_OK;
}
