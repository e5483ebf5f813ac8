/* SPDX-License-Identifier: Apache-2.0 */
/* Objects in a list and a tree, put in and taken out by programs that may run at the same time. */
#include <bpfheap.h>

char LICENSE[] SEC("license") = "GPL";

struct item {
	__u32 key;
	struct bpf_list_node link;
	struct bpf_rb_node node;
	struct bpf_refcount refs;
};

struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct item);
} ma SEC(".maps");

struct queue {
	struct bpf_spin_lock lock;
	struct bpf_list_head head __contains(item, link);
	struct bpf_rb_root root __contains(item, node);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct queue);
} queues SEC(".maps");

static __always_inline struct queue *the_queue(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&queues, &key);
}

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct item, node)->key < container_of(b, struct item, node)->key;
}

/* Into both; what is in one of them may be used until the lock is released. */
SEC("tc") int put(struct __sk_buff *ctx)
{
	struct queue *q = the_queue();
	struct item *i, *j;

	if (!q)
		return 0;
	i = bpf_mem_alloc(&ma, type_id_local(struct item));
	if (!i)
		return 0;
	j = bpf_refcount_acquire(i);
	bpf_spin_lock(&q->lock);
	bpf_list_push_back(&q->head, &i->link);
	i->key = 5;
	bpf_rbtree_add(&q->root, &j->node, less);
	i->key++;
	bpf_spin_unlock(&q->lock);
	return 0;
}

SEC("tc") int take(struct __sk_buff *ctx)
{
	struct bpf_rb_node *t, *gone = NULL;
	struct queue *q = the_queue();
	struct bpf_list_node *n;

	if (!q)
		return 0;
	bpf_spin_lock(&q->lock);
	n = bpf_list_pop_front(&q->head);
	t = bpf_rbtree_first(&q->root);
	if (t)
		gone = bpf_rbtree_remove(&q->root, t);
	bpf_spin_unlock(&q->lock);
	if (n)
		unit_free(container_of(n, struct item, link));
	if (gone)
		unit_free(container_of(gone, struct item, node));
	return 0;
}
