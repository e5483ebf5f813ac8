/* SPDX-License-Identifier: Apache-2.0 */
/* 1,024 counters of one map value, each at its own place and behind a condition. */
#include "corpus.h"

struct counters {
	__u64 n[1024];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} values SEC(".maps");

SEC("tc")
int counters_1024(struct __sk_buff *skb)
{
	__u32 key = 0, len = skb->len;
	volatile struct counters *c = bpf_map_lookup_elem(&values, &key);

	if (!c)
		return TC_ACT_OK;
#define COUNT(at)                                                                             \
	if (c->n[at] < 1ULL << 31)                                                            \
		c->n[at] += len;
	TIMES_1024(COUNT, 0)
	return TC_ACT_OK;
}
