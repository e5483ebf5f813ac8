/* SPDX-License-Identifier: Apache-2.0 */
/* Swaps the objects of two elements, and orders them by what they hold. */
#include "corpus.h"

struct item {
	__u64 weight;
};

struct slot {
	struct item __kptr *item;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

SEC("tc")
int kptr_swap(struct __sk_buff *skb)
{
	__u32 one = skb->mark, two = one + 1;
	struct slot *a = bpf_map_lookup_elem(&slots, &one);
	struct slot *b = bpf_map_lookup_elem(&slots, &two);
	struct item *first, *second;

	if (!a || !b)
		return TC_ACT_OK;
	first = bpf_kptr_xchg(&a->item, NULL);
	if (!first)
		return TC_ACT_OK;
	second = bpf_kptr_xchg(&b->item, NULL);
	if (!second) {
		second = bpf_kptr_xchg(&b->item, first);
		if (second)
			bpf_obj_drop(second);
		return TC_ACT_OK;
	}
	if (first->weight > second->weight) {
		first = bpf_kptr_xchg(&b->item, first);
		second = bpf_kptr_xchg(&a->item, second);
	} else {
		first = bpf_kptr_xchg(&a->item, first);
		second = bpf_kptr_xchg(&b->item, second);
	}
	if (first)
		bpf_obj_drop(first);
	if (second)
		bpf_obj_drop(second);
	return TC_ACT_OK;
}
