/* SPDX-License-Identifier: Apache-2.0 */
/* A decision tree of 256 leaves: every path is its own, none meets another before the end. */
#include "corpus.h"

/* Clamps by nine halvings, like a search in a table that the compiler has unrolled. */
#define LEAF(n) return (n);
#define NODE_1(n) if (v < (n) + 1) { LEAF(n) } else { LEAF((n) + 1) }
#define NODE_2(n) if (v < (n) + 2) { NODE_1(n) } else { NODE_1((n) + 2) }
#define NODE_4(n) if (v < (n) + 4) { NODE_2(n) } else { NODE_2((n) + 4) }
#define NODE_8(n) if (v < (n) + 8) { NODE_4(n) } else { NODE_4((n) + 8) }
#define NODE_16(n) if (v < (n) + 16) { NODE_8(n) } else { NODE_8((n) + 16) }
#define NODE_32(n) if (v < (n) + 32) { NODE_16(n) } else { NODE_16((n) + 32) }
#define NODE_64(n) if (v < (n) + 64) { NODE_32(n) } else { NODE_32((n) + 64) }
#define NODE_128(n) if (v < (n) + 128) { NODE_64(n) } else { NODE_64((n) + 128) }

static __noinline __u32 leaf_of(__u64 v)
{
	NODE_128(0)
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} leaves SEC(".maps");

SEC("tc")
int decision_tree(struct __sk_buff *skb)
{
	__u32 leaf = leaf_of(skb->hash);
	__u64 *count = bpf_map_lookup_elem(&leaves, &leaf);

	if (count)
		*count += 1;
	return TC_ACT_OK;
}
