/* SPDX-License-Identifier: Apache-2.0 */
/* Sums with an open-coded iterator; the number of steps is not known. */
#include "corpus.h"

struct table {
	__u32 cells[128];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct table);
} tables SEC(".maps");

SEC("tc")
int iterator_sum(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct table *t = bpf_map_lookup_elem(&tables, &key);
	__u64 sum = skb->hash;
	int i;

	if (!t)
		return TC_ACT_OK;
	bpf_for(i, 0, skb->len) {
		__u32 at = i;

		if (at >= 128)
			break;
		if (t->cells[at] & 1)
			sum += t->cells[at];
		else
			sum ^= t->cells[at];
	}
	return sum & 1;
}
