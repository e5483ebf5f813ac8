/* SPDX-License-Identifier: Apache-2.0 */
/* Eight lookups, each with what the one before found, each checked for NULL. */
#include "corpus.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, __u64);
} links SEC(".maps");

SEC("tc")
int lookup_chain(struct __sk_buff *skb)
{
	__u64 key = skb->hash;

#pragma unroll
	for (int i = 0; i < 8; i++) {
		__u64 *next = bpf_map_lookup_elem(&links, &key);

		if (!next)
			return i;
		if (*next == key) {
			bpf_map_delete_elem(&links, &key);
			return TC_ACT_SHOT;
		}
		key = *next;
	}
	return TC_ACT_OK;
}
