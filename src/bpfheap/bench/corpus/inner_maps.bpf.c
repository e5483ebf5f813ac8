/* SPDX-License-Identifier: Apache-2.0 */
/* Counters in inner maps, found by tenant. */
#include "corpus.h"

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 64);
	__type(key, __u32);
	__array(values, struct inner);
} tenants SEC(".maps");

SEC("tc")
int inner_maps(struct __sk_buff *skb)
{
	__u32 tenant = skb->mark, kind = skb->pkt_type;
	void *map = bpf_map_lookup_elem(&tenants, &tenant);
	__u64 *count;

	if (!map)
		return TC_ACT_OK;
	count = bpf_map_lookup_elem(map, &kind);
	if (count)
		*count += skb->len;
	kind = 15;
	count = bpf_map_lookup_elem(map, &kind);
	if (count)
		*count += 1;
	return TC_ACT_OK;
}
