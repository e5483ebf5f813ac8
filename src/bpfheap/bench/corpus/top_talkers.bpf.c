/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps the ten largest in order: insertion into an array of a map value. */
#include "corpus.h"

#define TOP 10

struct entry {
	__u32 who;
	__u32 bytes;
};

struct top {
	struct entry entries[TOP];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct top);
} tops SEC(".maps");

SEC("tc")
int top_talkers(struct __sk_buff *skb)
{
	struct entry fresh = {.who = skb->hash, .bytes = skb->len};
	__u32 key = 0;
	struct top *top = bpf_map_lookup_elem(&tops, &key);

	if (!top)
		return TC_ACT_OK;
	for (int i = 0; i < TOP; i++) {
		struct entry old = top->entries[i];

		if (old.bytes >= fresh.bytes)
			continue;
		top->entries[i] = fresh;
		fresh = old;
	}
	return TC_ACT_OK;
}
