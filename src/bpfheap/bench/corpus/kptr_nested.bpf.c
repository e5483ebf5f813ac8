/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that own objects: three levels, put together and taken apart. */
#include "corpus.h"

struct leaf {
	__u64 value;
};

struct branch {
	__u64 count;
	struct leaf __kptr *leaf;
};

struct tree {
	__u64 depth;
	struct branch __kptr *branch;
};

struct slot {
	struct tree __kptr *tree;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

SEC("tc")
int kptr_nested(struct __sk_buff *skb)
{
	__u32 key = skb->mark & 15;
	struct slot *slot = bpf_map_lookup_elem(&slots, &key);
	struct tree *tree;
	struct branch *branch;
	struct leaf *leaf;

	if (!slot)
		return TC_ACT_OK;
	tree = bpf_obj_new(struct tree);
	if (!tree)
		return TC_ACT_SHOT;
	branch = bpf_obj_new(struct branch);
	if (!branch)
		goto drop_tree;
	leaf = bpf_obj_new(struct leaf);
	if (!leaf)
		goto drop_branch;
	leaf->value = skb->len;
	branch->count = 1;
	tree->depth = 3;
	leaf = bpf_kptr_xchg(&branch->leaf, leaf);
	if (leaf)
		bpf_obj_drop(leaf);
	branch = bpf_kptr_xchg(&tree->branch, branch);
	if (branch)
		bpf_obj_drop(branch);
	tree = bpf_kptr_xchg(&slot->tree, tree);
	if (!tree)
		return TC_ACT_OK;
	branch = bpf_kptr_xchg(&tree->branch, NULL);
	if (branch)
		bpf_obj_drop(branch);
	bpf_obj_drop(tree);
	return TC_ACT_OK;

drop_branch:
	bpf_obj_drop(branch);
drop_tree:
	bpf_obj_drop(tree);
	return TC_ACT_SHOT;
}
