/* SPDX-License-Identifier: Apache-2.0 */
/* Reads an object that stays in its field, within an RCU section. */
#include "corpus.h"

struct limits {
	__u64 limit;
	__u64 mask;
};

struct slot {
	struct limits __kptr *limits;
};
__kptr_type(struct limits);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

SEC("tc")
int rcu_peek(struct __sk_buff *skb)
{
	__u32 key = skb->mark & 7;
	struct slot *slot = bpf_map_lookup_elem(&slots, &key);
	struct limits *limits;
	int result = TC_ACT_OK;

	if (!slot)
		return TC_ACT_OK;
	bpf_rcu_read_lock();
	limits = slot->limits;
	if (limits && skb->len > limits->limit && (skb->hash & limits->mask))
		result = TC_ACT_SHOT;
	bpf_rcu_read_unlock();
	return result;
}
