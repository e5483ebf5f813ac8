/* SPDX-License-Identifier: Apache-2.0 */
/* Walks a binary trie kept in an array, one lookup for each bit of an address. */
#include "corpus.h"

struct node {
	__u32 children[2];
	__u32 result;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct node);
} nodes SEC(".maps");

SEC("tc")
int bit_trie(struct __sk_buff *skb)
{
	__u32 address = skb->cb[0], at = 0, best = TC_ACT_OK;

#pragma clang loop unroll(disable)
	for (int bit = 31; bit >= 0; bit--) {
		struct node *node = bpf_map_lookup_elem(&nodes, &at);

		if (!node)
			break;
		if (node->result)
			best = node->result;
		at = node->children[address >> bit & 1];
		if (!at)
			break;
	}
	return best;
}
