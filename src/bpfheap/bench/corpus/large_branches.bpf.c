/* SPDX-License-Identifier: Apache-2.0 */
/* Two thousand steps, each with two branches on what was just read. */
#include "corpus.h"

struct buffer {
	__u32 words[4096];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct buffer);
} buffers SEC(".maps");

SEC("tc")
int large_branches(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct buffer *b = bpf_map_lookup_elem(&buffers, &key);
	__u64 small = skb->len, large = skb->hash;

	if (!b)
		return TC_ACT_OK;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 2000; i++) {
		__u32 word = b->words[i];

		if (word & 1)
			small += word;
		else
			large ^= word;
		if (word > 1U << 30)
			b->words[i] = word >> 1;
	}
	return (small ^ large) & 1;
}
