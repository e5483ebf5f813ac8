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

/* `owner` keeps one more reference to `owned`. */
static __always_inline void keep(struct self *owner, struct self *owned)
{
	struct self *one = bpf_refcount_acquire(owned), *old;

	old = bpf_kptr_xchg(&owner->me, one);
	if (old)
		bpf_obj_drop(old);
}

static __noinline int make_one(void)
{
	struct self *a = bpf_obj_new(struct self);

	if (!a)
		return 0;
	keep(a, a);
	bpf_obj_drop(a);
	return 1;
}

SEC("tc") int in_a_function(struct __sk_buff *ctx)
{
	return make_one();
}

static long make_each(__u32 i, void *ctx)
{
	return !make_one();
}

SEC("tc") int in_a_callback(struct __sk_buff *ctx)
{
	bpf_loop(2, make_each, NULL, 0);
	return 0;
}

SEC("tc") int pair(struct __sk_buff *ctx)
{
	struct self *a = bpf_obj_new(struct self), *b;

	if (!a)
		return 0;
	b = bpf_obj_new(struct self);
	if (!b) {
		bpf_obj_drop(a);
		return 0;
	}
	keep(a, b);
	keep(b, a);
	bpf_obj_drop(a);
	bpf_obj_drop(b);
	return 0;
}

SEC("tc") int three(struct __sk_buff *ctx)
{
	struct self *a = bpf_obj_new(struct self), *b, *c;

	if (!a)
		return 0;
	b = bpf_obj_new(struct self);
	if (!b) {
		bpf_obj_drop(a);
		return 0;
	}
	c = bpf_obj_new(struct self);
	if (!c) {
		bpf_obj_drop(a);
		bpf_obj_drop(b);
		return 0;
	}
	keep(a, b);
	keep(b, c);
	keep(c, a);
	bpf_obj_drop(a);
	bpf_obj_drop(b);
	bpf_obj_drop(c);
	return 0;
}

SEC("tc") int chain(struct __sk_buff *ctx)
{
	struct self *a = bpf_obj_new(struct self), *b;

	if (!a)
		return 0;
	b = bpf_obj_new(struct self);
	if (!b) {
		bpf_obj_drop(a);
		return 0;
	}
	keep(a, b);
	bpf_obj_drop(b);
	bpf_obj_drop(a);
	return 0;
}

SEC("tc") int taken_apart(struct __sk_buff *ctx)
{
	struct self *a = bpf_obj_new(struct self), *old;

	if (!a)
		return 0;
	keep(a, a);
	old = bpf_kptr_xchg(&a->me, NULL);
	if (old)
		bpf_obj_drop(old);
	bpf_obj_drop(a);
	return 0;
}

/* The second reference takes the place of the first. */
SEC("tc") int put_again(struct __sk_buff *ctx)
{
	struct self *a = bpf_obj_new(struct self);

	if (!a)
		return 0;
	keep(a, a);
	keep(a, a);
	bpf_obj_drop(a);
	return 0;
}

struct slot {
	struct self __kptr *self;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

static __always_inline int put(struct self *a)
{
	struct slot empty = {}, *slot;
	struct self *old;
	__u32 key = 0;

	bpf_map_update_elem(&slots, &key, &empty, 0);
	slot = bpf_map_lookup_elem(&slots, &key);
	if (!slot) {
		bpf_obj_drop(a);
		return 0;
	}
	old = bpf_kptr_xchg(&slot->self, a);
	if (old)
		bpf_obj_drop(old);
	return 0;
}

/* Its map owns it, and goes. */
SEC("tc") int in_a_map_and_itself(struct __sk_buff *ctx)
{
	struct self *a = bpf_obj_new(struct self);

	if (!a)
		return 0;
	keep(a, a);
	return put(a);
}

SEC("tc") int in_a_map(struct __sk_buff *ctx)
{
	struct self *a = bpf_obj_new(struct self);

	return a ? put(a) : 0;
}

/* The element goes, the object does not. */
SEC("tc") int in_a_deleted_element(struct __sk_buff *ctx)
{
	struct self *a = bpf_obj_new(struct self);
	__u32 key = 0;

	if (!a)
		return 0;
	keep(a, a);
	put(a);
	bpf_map_delete_elem(&slots, &key);
	return 0;
}

struct leaf;

struct bough {
	struct bpf_refcount ref;
	struct bpf_spin_lock lock;
	struct bpf_list_head list __contains(leaf, node);
	struct bpf_rb_root root __contains(leaf, tree);
};

struct leaf {
	struct bpf_refcount ref;
	struct bpf_list_node node;
	struct bpf_rb_node tree;
	struct bough __kptr *bough;
};

#define GROW(name, put)                                                \
	SEC("tc") int name(struct __sk_buff *ctx)                      \
	{                                                              \
		struct bough *b = bpf_obj_new(struct bough), *c, *old; \
		struct leaf *l;                                        \
                                                                       \
		if (!b)                                                \
			return 0;                                      \
		l = bpf_obj_new(struct leaf);                          \
		if (!l) {                                              \
			bpf_obj_drop(b);                               \
			return 0;                                      \
		}                                                      \
		c = bpf_refcount_acquire(b);                           \
		old = bpf_kptr_xchg(&l->bough, c);                     \
		if (old)                                               \
			bpf_obj_drop(old);                             \
		bpf_spin_lock(&b->lock);                               \
		put;                                                   \
		bpf_spin_unlock(&b->lock);                             \
		bpf_obj_drop(b);                                       \
		return 0;                                              \
	}

GROW(in_a_list, bpf_list_push_back(&b->list, &l->node))
GROW(in_a_tree, bpf_rbtree_add(&b->root, &l->tree, less))

char LICENSE[] SEC("license") = "GPL";
