/* SPDX-License-Identifier: Apache-2.0 */
/* A counted object in a map field and in a list at the same time. */
#include "corpus.h"

struct shared {
	__u64 value;
	struct bpf_list_node node;
	struct bpf_refcount count;
};

struct slot {
	struct shared __kptr *shared;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 32);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head all __contains(shared, node);

SEC("tc")
int shared_object(struct __sk_buff *skb)
{
	__u32 key = skb->mark & 31;
	struct slot *slot = bpf_map_lookup_elem(&slots, &key);
	struct shared *made, *second;

	if (!slot)
		return TC_ACT_OK;
	made = bpf_obj_new(struct shared);
	if (!made)
		return TC_ACT_SHOT;
	made->value = skb->len;
	second = bpf_refcount_acquire(made);
	if (second) {
		bpf_spin_lock(&lock);
		bpf_list_push_back(&all, &second->node);
		bpf_spin_unlock(&lock);
	}
	made = bpf_kptr_xchg(&slot->shared, made);
	if (made)
		bpf_obj_drop(made);
	return TC_ACT_OK;
}
