/* SPDX-License-Identifier: Apache-2.0 */
/* A cgroup's budget of bytes: lets a packet through, or not. */
#include "corpus.h"

struct budget {
	__u64 left;
	__u64 denied;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct budget);
} budgets SEC(".maps");

SEC("cgroup_skb/egress")
int cgroup_limit(struct __sk_buff *skb)
{
	__u32 key = skb->priority;
	struct budget *b = bpf_map_lookup_elem(&budgets, &key);

	if (!b)
		return 1;
	if (b->left < skb->len) {
		__sync_fetch_and_add(&b->denied, 1);
		return 0;
	}
	__sync_fetch_and_add(&b->left, -(__u64)skb->len);
	return 1;
}
