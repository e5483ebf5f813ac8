/* SPDX-License-Identifier: Apache-2.0 */
/* A node that is not as Linux has it. */
#define bpf_rb_node node_of_linux
#include "oracle.h"
#undef bpf_rb_node

struct bpf_rb_node {
	__u64 only;
} __attribute__((aligned(8)));

struct item {
	__u64 key;
	struct bpf_list_node l;
	struct bpf_rb_node r;
};

struct holder {
	struct bpf_spin_lock lock;
	struct bpf_rb_root root __contains(item, r);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct holder);
} map SEC(".maps");

static _Bool less(struct node_of_linux *a, const struct node_of_linux *b)
{
	return 0;
}

SEC("tc") __reject("bpf_rb_node not found at offset=32")
int node_of_eight_bytes(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct holder *v = bpf_map_lookup_elem(&map, &key);
	struct item *item;

	if (!v)
		return 0;
	item = bpf_obj_new(struct item);
	if (!item)
		return 0;
	bpf_spin_lock(&v->lock);
	bpf_rbtree_add(&v->root, (void *)&item->r, less);
	bpf_spin_unlock(&v->lock);
	return 0;
}
