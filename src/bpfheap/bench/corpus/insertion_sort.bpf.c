/* SPDX-License-Identifier: Apache-2.0 */
/* Sorts an array of a map value: a loop in a loop that ends early. */
#include "corpus.h"

#define N 16

struct numbers {
	__u32 n[N];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct numbers);
} values SEC(".maps");

SEC("tc")
int insertion_sort(struct __sk_buff *skb)
{
	__u32 key = skb->mark & 3;
	struct numbers *v = bpf_map_lookup_elem(&values, &key);

	if (!v)
		return TC_ACT_OK;
#pragma clang loop unroll(disable)
	for (int i = 1; i < N; i++) {
		__u32 moved = v->n[i];
		int j = i;

#pragma clang loop unroll(disable)
		for (; j > 0; j--) {
			if (v->n[j - 1] <= moved)
				break;
			v->n[j] = v->n[j - 1];
		}
		v->n[j & (N - 1)] = moved;
	}
	return v->n[skb->priority & (N - 1)] & 1;
}
