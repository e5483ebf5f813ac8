/* SPDX-License-Identifier: Apache-2.0 */
/* 256 rules of a filter, each with three conditions on a header; the first that fits decides. */
#include "corpus.h"

struct header {
	__u32 source;
	__u32 destination;
	__u32 ports;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct header);
} headers SEC(".maps");

SEC("tc")
int rules_256(struct __sk_buff *skb)
{
	__u32 key = 0;
	volatile struct header *h = bpf_map_lookup_elem(&headers, &key);

	if (!h)
		return TC_ACT_OK;
#define RULE(n)                                                                               \
	if ((h->source & (0xffff0000U << ((n) % 9))) == (0x0a000000U + (n) * 0x10000U) &&     \
	    h->destination - (n) * 4099U < 0x1000 && (h->ports & 0xffff) != (n))              \
		return (n) & 1 ? TC_ACT_SHOT : TC_ACT_OK;
	TIMES_256(RULE, 0)
	return TC_ACT_PIPE;
}
