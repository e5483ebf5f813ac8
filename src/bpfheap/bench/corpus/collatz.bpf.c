/* SPDX-License-Identifier: Apache-2.0 */
/* Follows the Collatz sequence of a number in memory: a branch in each step on what was stored. */
#include "corpus.h"

struct sequence {
	__u64 n;
	__u64 most;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct sequence);
} sequences SEC(".maps");

SEC("tc")
int collatz(struct __sk_buff *skb)
{
	__u32 key = skb->mark, steps;
	volatile struct sequence *s = bpf_map_lookup_elem(&sequences, &key);

	if (!s)
		return -1;
#pragma clang loop unroll(disable)
	for (steps = 0; steps < 200; steps++) {
		if (s->n < 2)
			break;
		if (s->n & 1)
			s->n = 3 * s->n + 1;
		else
			s->n >>= 1;
		if (s->n > s->most)
			s->most = s->n;
	}
	return steps;
}
