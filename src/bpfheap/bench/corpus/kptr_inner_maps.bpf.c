/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of one type in the inner maps of many tenants. */
#include "corpus.h"

struct item {
	__u64 bytes;
};

struct slot {
	struct item __kptr *item;
};

__kptr_type(struct slot);

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct slot);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 16);
	__type(key, __u32);
	__array(values, struct inner);
} tenants SEC(".maps");

SEC("tc")
int kptr_inner_maps(struct __sk_buff *skb)
{
	__u32 tenant = skb->mark & 15, key = skb->hash & 7;
	void *map = bpf_map_lookup_elem(&tenants, &tenant);
	struct slot *slot;
	struct item *item;

	if (!map)
		return TC_ACT_OK;
	slot = bpf_map_lookup_elem(map, &key);
	if (!slot)
		return TC_ACT_OK;
	item = bpf_kptr_xchg(&slot->item, NULL);
	if (!item)
		item = bpf_obj_new(struct item);
	if (!item)
		return TC_ACT_SHOT;
	item->bytes += skb->len;
	item = bpf_kptr_xchg(&slot->item, item);
	if (item)
		bpf_obj_drop(item);
	return TC_ACT_OK;
}
