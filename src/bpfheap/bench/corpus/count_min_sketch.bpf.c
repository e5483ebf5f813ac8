/* SPDX-License-Identifier: Apache-2.0 */
/* A count-min sketch: the least of four estimates. */
#include "corpus.h"

#define ROWS 4
#define COLUMNS 1024

struct sketch {
	__u32 cells[ROWS][COLUMNS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sketch);
} sketches SEC(".maps");

SEC("tc")
int count_min_sketch(struct __sk_buff *skb)
{
	__u32 key = 0, least = ~0U;
	__u64 hash = skb->hash * 0x9e3779b97f4a7c15ULL;
	struct sketch *s = bpf_map_lookup_elem(&sketches, &key);

	if (!s)
		return TC_ACT_OK;
	for (int row = 0; row < ROWS; row++) {
		__u32 *cell = &s->cells[row][hash >> 7 & (COLUMNS - 1)];

		*cell += 1;
		if (*cell < least)
			least = *cell;
		hash = hash >> 13 | hash << 51;
	}
	return least > 100 ? TC_ACT_SHOT : TC_ACT_OK;
}
