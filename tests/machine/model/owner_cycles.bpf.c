#include <bpfheap.h>

/* Objects with several owners, of which one is the object itself, or what it owns. */

struct self {
	struct bpf_refcount ref;
	struct self __kptr *me;
};

SEC("tc") int itself(struct __sk_buff *ctx)
{
	struct self *a = bpf_obj_new(struct self), *b, *old;

	if (!a)
		return 0;
	b = bpf_refcount_acquire(a);
	old = bpf_kptr_xchg(&a->me, b);
	if (old)
		bpf_obj_drop(old);
	bpf_obj_drop(a);
	return 0;
}

/* The first keeps the second, which keeps itself. */
SEC("tc") int a_third(struct __sk_buff *ctx)
{
	struct self *a = bpf_obj_new(struct self), *b, *c, *old;

	if (!a)
		return 0;
	b = bpf_obj_new(struct self);
	if (!b) {
		bpf_obj_drop(a);
		return 0;
	}
	c = bpf_refcount_acquire(b);
	old = bpf_kptr_xchg(&b->me, c);
	if (old)
		bpf_obj_drop(old);
	old = bpf_kptr_xchg(&a->me, b);
	if (old)
		bpf_obj_drop(old);
	bpf_obj_drop(a);
	return 0;
}

struct item {
	struct bpf_refcount ref;
	struct bpf_list_node node;
	struct bpf_rb_node tree;
};

struct holder {
	struct bpf_spin_lock lock;
	struct bpf_list_head list __contains(item, node);
	struct bpf_rb_root root __contains(item, tree);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct holder);
} holders SEC(".maps");

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return 0;
}

/* In a list and a tree of a map: owned twice, but by nothing that it owns. */
SEC("tc") int in_two(struct __sk_buff *ctx)
{
	__u32 k = 0;
	struct holder *h = bpf_map_lookup_elem(&holders, &k);
	struct item *i, *j;

	if (!h)
		return 0;
	i = bpf_obj_new(struct item);
	if (!i)
		return 0;
	j = bpf_refcount_acquire(i);
	bpf_spin_lock(&h->lock);
	bpf_list_push_front(&h->list, &i->node);
	bpf_rbtree_add(&h->root, &j->tree, less);
	bpf_spin_unlock(&h->lock);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
