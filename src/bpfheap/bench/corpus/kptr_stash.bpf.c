/* SPDX-License-Identifier: Apache-2.0 */
/* Puts a new object into a hash map and gives the old one back. */
#include "corpus.h"

struct item {
	__u64 ns;
	__u32 len;
	__u32 mark;
};

struct slot {
	struct item __kptr *item;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 128);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

SEC("tc")
int kptr_stash(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct slot *slot = bpf_map_lookup_elem(&slots, &key);
	struct item *item;

	if (!slot)
		return TC_ACT_OK;
	item = bpf_obj_new(struct item);
	if (!item)
		return TC_ACT_SHOT;
	item->ns = bpf_ktime_get_ns();
	item->len = skb->len;
	item->mark = key;
	item = bpf_kptr_xchg(&slot->item, item);
	if (item)
		bpf_obj_drop(item);
	return TC_ACT_OK;
}
