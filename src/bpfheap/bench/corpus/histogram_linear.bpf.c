/* SPDX-License-Identifier: Apache-2.0 */
/* A histogram in one map value: the index is clamped by comparisons. */
#include "corpus.h"

#define SLOTS 100

struct histogram {
	__u64 below, above;
	__u32 slots[SLOTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct histogram);
} histograms SEC(".maps");

SEC("tc")
int histogram_linear(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct histogram *h = bpf_map_lookup_elem(&histograms, &key);
	__s64 slot;

	if (!h)
		return TC_ACT_OK;
	slot = ((__s64)skb->len - 64) >> 4;
	if (slot < 0) {
		h->below++;
		return TC_ACT_OK;
	}
	if (slot >= SLOTS) {
		h->above++;
		return TC_ACT_OK;
	}
	h->slots[slot]++;
	return TC_ACT_OK;
}
