/* SPDX-License-Identifier: Apache-2.0 */
/* Red-black trees of objects, each under the lock that lies in the same map value. */
#include "oracle.h"

struct entry {
	__u64 key;
	struct bpf_rb_node node;
	__u64 hits;
};

struct other {
	__u64 key;
	struct bpf_rb_node node;
};

struct both {
	struct bpf_list_node link;
	__u64 key;
};

struct index {
	struct bpf_spin_lock lock;
	struct bpf_rb_root root __contains(entry, node);
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct index);
} indexes SEC(".maps");

private(A) struct bpf_spin_lock lock_a;
private(A) struct bpf_rb_root root_a __contains(entry, node);
private(A) struct bpf_rb_root spare_a __contains(entry, node);
private(A) struct bpf_list_head list_a __contains(both, link);
private(B) struct bpf_spin_lock lock_b;
private(B) struct bpf_rb_root root_b __contains(entry, node);
private(C) struct bpf_spin_lock lock_c;
private(C) struct bpf_rb_root root_c __contains(other, node);

__u64 total;

#define entry_of(n) container_of(n, struct entry, node)

static __always_inline struct index *an_index(void)
{
	__u32 key = bpf_get_prandom_u32();

	return bpf_map_lookup_elem(&indexes, &key);
}

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return entry_of(a)->key < entry_of(b)->key;
}

/* ------------------------------------------------------------------------------------ add */

SEC("tc") __accept
int add(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	e->key = ctx->len;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("must be held for bpf_rb_root")
int add_without_lock(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_rbtree_add(&root_a, &e->node, less);
	return 0;
}

SEC("tc") __reject("must be held for bpf_rb_root")
int add_under_other_lock(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_b);
	bpf_rbtree_add(&root_a, &e->node, less);
	bpf_spin_unlock(&lock_b);
	return 0;
}

SEC("tc") __reject("pointer arithmetic on ptr_or_null_ prohibited, null-check it")
int add_unchecked(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("operation on bpf_rb_root expects arg#1 bpf_rb_node at offset=8")
int add_other_type(struct __sk_buff *ctx)
{
	struct other *o = bpf_obj_new(struct other);

	if (!o)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &o->node, less);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int add_other_type_to_its_tree(struct __sk_buff *ctx)
{
	struct other *o = bpf_obj_new(struct other);

	if (!o)
		return 0;
	bpf_spin_lock(&lock_c);
	bpf_rbtree_add(&root_c, &o->node, less);
	bpf_spin_unlock(&lock_c);
	return 0;
}

SEC("tc") __reject("bpf_rb_node not found at offset=40")
int add_wrong_offset(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, (void *)&e->hits, less);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("bpf_rb_node not found at offset=0")
int add_list_node(struct __sk_buff *ctx)
{
	struct both *o = bpf_obj_new(struct both);

	if (!o)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, (void *)&o->link, less);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("bpf_rb_root not found at offset=24")
int add_to_a_list(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add((void *)&list_a, &e->node, less);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("arg#1 expected pointer to allocated object")
int add_twice(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less);
	bpf_rbtree_add(&spare_a, &e->node, less);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int add_two(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry), *f;

	if (!e)
		return 0;
	f = bpf_obj_new(struct entry);
	if (!f) {
		bpf_obj_drop(e);
		return 0;
	}
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less);
	bpf_rbtree_add(&spare_a, &f->node, less);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int add_second_lost(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry), *f;

	if (!e)
		return 0;
	f = bpf_obj_new(struct entry);
	if (!f)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less);
	bpf_rbtree_add(&spare_a, &f->node, less);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int add_then_write(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less);
	*(volatile __u64 *)&e->hits = 1;
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int add_then_write_after_unlock(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less);
	bpf_spin_unlock(&lock_a);
	*(volatile __u64 *)&e->hits = 1;
	return 0;
}

SEC("tc") __reject("must be referenced or trusted")
int add_then_drop(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less);
	bpf_spin_unlock(&lock_a);
	bpf_obj_drop(e);
	return 0;
}

SEC("tc") __accept
int add_to_value(struct __sk_buff *ctx)
{
	struct index *x = an_index();
	struct entry *e;

	if (!x)
		return 0;
	e = bpf_obj_new(struct entry);
	if (!e)
		return 0;
	bpf_spin_lock(&x->lock);
	bpf_rbtree_add(&x->root, &e->node, less);
	bpf_spin_unlock(&x->lock);
	return 0;
}

SEC("tc") __reject("must be held for bpf_rb_root")
int add_to_value_under_lock_of_other_lookup(struct __sk_buff *ctx)
{
	struct index *x = an_index(), *y = an_index();
	struct entry *e;

	if (!x || !y)
		return 0;
	e = bpf_obj_new(struct entry);
	if (!e)
		return 0;
	bpf_spin_lock(&y->lock);
	bpf_rbtree_add(&x->root, &e->node, less);
	bpf_spin_unlock(&y->lock);
	return 0;
}

/* ------------------------------------------------------------------------------- callbacks */

static _Bool less_calls_helper(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return entry_of(a)->key < bpf_ktime_get_ns();
}

SEC("tc") __reject("function calls are not allowed while holding a lock")
int callback_calls_helper(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less_calls_helper);
	bpf_spin_unlock(&lock_a);
	return 0;
}

static _Bool less_writes(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	entry_of(a)->hits++;
	return entry_of(a)->key < entry_of(b)->key;
}

SEC("tc") __accept
int callback_writes(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less_writes);
	bpf_spin_unlock(&lock_a);
	return 0;
}

static _Bool less_reads_too_far(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return *(volatile __u64 *)((void *)entry_of(a) + sizeof(struct entry)) != 0;
}

SEC("tc") __reject("access beyond struct entry at off 48 size 8")
int callback_reads_too_far(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less_reads_too_far);
	bpf_spin_unlock(&lock_a);
	return 0;
}

static _Bool less_reads_the_end(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return *(volatile __u64 *)((void *)entry_of(a) + sizeof(struct entry) - 8) != 0;
}

SEC("tc") __accept
int callback_reads_the_end(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less_reads_the_end);
	bpf_spin_unlock(&lock_a);
	return 0;
}

static _Bool less_removes(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	bpf_rbtree_remove(&root_a, a);
	return 0;
}

SEC("tc") __reject("bpf_rbtree_remove not allowed in rbtree cb")
int callback_removes(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less_removes);
	bpf_spin_unlock(&lock_a);
	return 0;
}

static _Bool less_peeks(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return bpf_rbtree_first(&root_a) == a;
}

/* Peeking changes nothing, so the callback may. */
SEC("tc") __accept
int callback_asks_for_first(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less_peeks);
	bpf_spin_unlock(&lock_a);
	return 0;
}

static _Bool less_unlocks(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("can't spin_{lock,unlock} in rbtree cb")
int callback_unlocks(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less_unlocks);
	bpf_spin_unlock(&lock_a);
	return 0;
}

static _Bool less_unlocks_and_locks(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	bpf_spin_unlock(&lock_a);
	bpf_spin_lock(&lock_a);
	return 0;
}

SEC("tc") __reject("can't spin_{lock,unlock} in rbtree cb")
int callback_unlocks_and_locks(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less_unlocks_and_locks);
	bpf_spin_unlock(&lock_a);
	return 0;
}

static __noinline int open_the_lock(int n)
{
	bpf_spin_unlock(&lock_a);
	bpf_spin_lock(&lock_a);
	return n;
}

static _Bool less_unlocks_further_down(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return open_the_lock(1) & 1;
}

SEC("tc") __reject("can't spin_{lock,unlock} in rbtree cb") __kernel_accepts
__reason("the tree may change while it is searched")
int callback_unlocks_further_down(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less_unlocks_further_down);
	bpf_spin_unlock(&lock_a);
	return 0;
}

struct counted {
	__u64 key;
	struct bpf_rb_node node;
	struct bpf_refcount refs;
};

private(D) struct bpf_spin_lock lock_d;
private(D) struct bpf_rb_root root_d __contains(counted, node);
private(D) struct bpf_rb_root spare_d __contains(counted, node);

static _Bool less_counted(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return 0;
}

static _Bool less_adds(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	struct counted *c = bpf_refcount_acquire(container_of(a, struct counted, node));

	if (c)
		bpf_rbtree_add(&spare_d, &c->node, less_counted);
	return 0;
}

SEC("tc") __reject("not allowed in rbtree cb") __kernel_accepts
__reason("a comparison that adds to the tree it is called for changes what is being searched")
int callback_adds(struct __sk_buff *ctx)
{
	struct counted *c = bpf_obj_new(struct counted);

	if (!c)
		return 0;
	bpf_spin_lock(&lock_d);
	bpf_rbtree_add(&root_d, &c->node, less_adds);
	bpf_spin_unlock(&lock_d);
	return 0;
}

static _Bool less_global(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	total++;
	return entry_of(a)->key < total;
}

SEC("tc") __accept
int callback_counts(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less_global);
	bpf_spin_unlock(&lock_a);
	return 0;
}

static __u64 less_returns_number(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return entry_of(a)->key;
}

SEC("tc") __reject("At callback return the register")
int callback_returns_any_number(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, (void *)less_returns_number);
	bpf_spin_unlock(&lock_a);
	return 0;
}

/* -------------------------------------------------------------------------------- remove */

SEC("tc") __accept
int remove_first(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_first(&root_a);
	if (!n) {
		bpf_spin_unlock(&lock_a);
		return 0;
	}
	n = bpf_rbtree_remove(&root_a, n);
	bpf_spin_unlock(&lock_a);
	if (!n)
		return 0;
	bpf_obj_drop(entry_of(n));
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int remove_first_leak(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_first(&root_a);
	if (!n) {
		bpf_spin_unlock(&lock_a);
		return 0;
	}
	n = bpf_rbtree_remove(&root_a, n);
	bpf_spin_unlock(&lock_a);
	if (!n)
		return 0;
	entry_of(n)->hits = 1;
	return 0;
}

SEC("tc") __reject("pointer arithmetic on ptr_or_null_ prohibited, null-check it")
int remove_result_unchecked(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_first(&root_a);
	if (!n) {
		bpf_spin_unlock(&lock_a);
		return 0;
	}
	n = bpf_rbtree_remove(&root_a, n);
	bpf_spin_unlock(&lock_a);
	bpf_obj_drop(entry_of(n));
	return 0;
}

SEC("tc") __reject("dereference of modified ptr_or_null_ ptr")
int remove_unchecked_first(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_first(&root_a);
	n = bpf_rbtree_remove(&root_a, n);
	bpf_spin_unlock(&lock_a);
	if (!n)
		return 0;
	bpf_obj_drop(entry_of(n));
	return 0;
}

SEC("tc") __reject("must be held for bpf_rb_root")
int remove_without_lock(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_first(&root_a);
	bpf_spin_unlock(&lock_a);
	if (!n)
		return 0;
	n = bpf_rbtree_remove(&root_a, n);
	if (!n)
		return 0;
	bpf_obj_drop(entry_of(n));
	return 0;
}

SEC("tc") __reject("must be held for bpf_rb_root")
int remove_from_tree_of_other_lock(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_first(&root_a);
	if (!n) {
		bpf_spin_unlock(&lock_a);
		return 0;
	}
	n = bpf_rbtree_remove(&root_b, n);
	bpf_spin_unlock(&lock_a);
	if (!n)
		return 0;
	bpf_obj_drop(entry_of(n));
	return 0;
}

/* Of which tree of the two a node is, the verifier need not know: remove asks the node. */
SEC("tc") __accept
int remove_from_other_tree_of_the_lock(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_first(&root_a);
	if (!n) {
		bpf_spin_unlock(&lock_a);
		return 0;
	}
	n = bpf_rbtree_remove(&spare_a, n);
	bpf_spin_unlock(&lock_a);
	if (!n)
		return 0;
	bpf_obj_drop(entry_of(n));
	return 0;
}

/* An object that is in no tree is simply not found. */
SEC("tc") __accept
int remove_owned_object(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);
	struct bpf_rb_node *n;

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_remove(&root_a, &e->node);
	bpf_spin_unlock(&lock_a);
	bpf_obj_drop(e);
	if (n)
		bpf_obj_drop(entry_of(n));
	return 0;
}

SEC("tc") __accept
int remove_what_was_added(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);
	struct bpf_rb_node *n;

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less);
	n = bpf_rbtree_remove(&root_a, &e->node);
	bpf_spin_unlock(&lock_a);
	if (n)
		bpf_obj_drop(entry_of(n));
	return 0;
}

/* What was removed cannot be dropped before the lock is released, so seeing it stays safe. */
SEC("tc") __accept
int remove_then_use_what_was_seen(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);
	struct bpf_rb_node *n;

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &e->node, less);
	n = bpf_rbtree_remove(&root_a, &e->node);
	*(volatile __u64 *)&e->hits = 1;
	bpf_spin_unlock(&lock_a);
	if (n)
		bpf_obj_drop(entry_of(n));
	return 0;
}

SEC("tc") __accept
int remove_twice(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n, *m = NULL, *o;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_first(&root_a);
	if (!n) {
		bpf_spin_unlock(&lock_a);
		return 0;
	}
	o = bpf_rbtree_remove(&root_a, n);
	m = bpf_rbtree_remove(&root_a, n);
	bpf_spin_unlock(&lock_a);
	if (o)
		bpf_obj_drop(entry_of(o));
	if (m)
		bpf_obj_drop(entry_of(m));
	return 0;
}

SEC("tc") __accept
int remove_first_twice(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n, *m = NULL, *o;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_first(&root_a);
	if (!n) {
		bpf_spin_unlock(&lock_a);
		return 0;
	}
	o = bpf_rbtree_remove(&root_a, n);
	n = bpf_rbtree_first(&root_a);
	if (n)
		m = bpf_rbtree_remove(&root_a, n);
	bpf_spin_unlock(&lock_a);
	if (o)
		bpf_obj_drop(entry_of(o));
	if (m)
		bpf_obj_drop(entry_of(m));
	return 0;
}

SEC("tc") __accept
int remove_and_add_to_other(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_first(&root_a);
	if (n) {
		n = bpf_rbtree_remove(&root_a, n);
		if (n)
			bpf_rbtree_add(&spare_a, n, less);
	}
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("arg#1 expected pointer to allocated object")
int first_added_to_other(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_first(&root_a);
	if (n)
		bpf_rbtree_add(&spare_a, n, less);
	bpf_spin_unlock(&lock_a);
	return 0;
}

/* ------------------------------------------------------------------- first, root, left, right */

SEC("tc") __accept
int first_read(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;
	__u64 key = 0;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_first(&root_a);
	if (n)
		key = entry_of(n)->key;
	bpf_spin_unlock(&lock_a);
	return key & 1;
}

SEC("tc") __reject("invalid mem access 'ptr_or_null_'")
int first_read_unchecked(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;
	__u64 key;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_first(&root_a);
	key = entry_of(n)->key;
	bpf_spin_unlock(&lock_a);
	return key & 1;
}

SEC("tc") __reject("must be held for bpf_rb_root")
int first_without_lock(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n = bpf_rbtree_first(&root_a);

	return n ? 1 : 0;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int first_read_after_unlock(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_first(&root_a);
	bpf_spin_unlock(&lock_a);
	return n ? entry_of(n)->key & 1 : 0;
}

SEC("tc") __reject("must be referenced or trusted")
int first_dropped(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_first(&root_a);
	bpf_spin_unlock(&lock_a);
	if (n)
		bpf_obj_drop(entry_of(n));
	return 0;
}

SEC("tc") __accept
int walk_left(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;
	__u64 key = 0;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_root(&root_a);
	if (n)
		n = bpf_rbtree_left(&root_a, n);
	if (n)
		key = entry_of(n)->key;
	bpf_spin_unlock(&lock_a);
	return key & 1;
}

SEC("tc") __reject("dereference of modified ptr_or_null_ ptr")
int walk_left_of_unchecked_root(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;
	__u64 key = 0;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_root(&root_a);
	n = bpf_rbtree_left(&root_a, n);
	if (n)
		key = entry_of(n)->key;
	bpf_spin_unlock(&lock_a);
	return key & 1;
}

SEC("tc") __reject("invalid mem access 'ptr_or_null_'")
int walk_result_unchecked(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;
	__u64 key = 0;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_root(&root_a);
	if (n) {
		n = bpf_rbtree_right(&root_a, n);
		key = entry_of(n)->key;
	}
	bpf_spin_unlock(&lock_a);
	return key & 1;
}

SEC("tc") __accept
int walk_from_an_owned_object(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);
	struct bpf_rb_node *n;

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_left(&root_a, &e->node);
	bpf_spin_unlock(&lock_a);
	bpf_obj_drop(e);
	return n ? 1 : 0;
}

SEC("tc") __accept
int search(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;
	__u64 wanted = ctx->len;
	int i, found = 0;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_root(&root_a);
	bpf_for(i, 0, 32) {
		if (!n)
			break;
		if (entry_of(n)->key == wanted) {
			found = 1;
			break;
		}
		if (wanted < entry_of(n)->key)
			n = bpf_rbtree_left(&root_a, n);
		else
			n = bpf_rbtree_right(&root_a, n);
	}
	bpf_spin_unlock(&lock_a);
	return found;
}

SEC("tc") __reject("invalid mem access 'ptr_or_null_'")
int search_unchecked(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;
	__u64 wanted = ctx->len;
	int i, found = 0;

	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_root(&root_a);
	bpf_for(i, 0, 32) {
		if (entry_of(n)->key == wanted) {
			found = 1;
			break;
		}
		n = bpf_rbtree_left(&root_a, n);
	}
	bpf_spin_unlock(&lock_a);
	return found;
}

/* ------------------------------------------------------------------------------- in loops */

SEC("tc") __accept
int add_in_loop(struct __sk_buff *ctx)
{
	for (int i = 0; i < 4; i++) {
		struct entry *e = bpf_obj_new(struct entry);

		if (!e)
			return 0;
		e->key = i;
		bpf_spin_lock(&lock_a);
		bpf_rbtree_add(&root_a, &e->node, less);
		bpf_spin_unlock(&lock_a);
	}
	return 0;
}

SEC("tc") __accept
int drain_in_loop(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;
	int i;

	bpf_for(i, 0, 100) {
		bpf_spin_lock(&lock_a);
		n = bpf_rbtree_first(&root_a);
		if (!n) {
			bpf_spin_unlock(&lock_a);
			break;
		}
		n = bpf_rbtree_remove(&root_a, n);
		bpf_spin_unlock(&lock_a);
		if (n)
			bpf_obj_drop(entry_of(n));
	}
	return 0;
}

SEC("tc") __reject("BPF_EXIT instruction in main prog cannot be used inside")
int drain_in_loop_lock_lost(struct __sk_buff *ctx)
{
	struct bpf_rb_node *n;
	int i;

	bpf_for(i, 0, 100) {
		bpf_spin_lock(&lock_a);
		n = bpf_rbtree_first(&root_a);
		if (!n)
			break;
		n = bpf_rbtree_remove(&root_a, n);
		bpf_spin_unlock(&lock_a);
		if (n)
			bpf_obj_drop(entry_of(n));
	}
	return 0;
}

SEC("tc") __reject("bpf_rb_root cannot be accessed directly by load/store")
int read_the_root(struct __sk_buff *ctx)
{
	return *(volatile __u64 *)&root_a & 1;
}

SEC("tc") __reject("direct access to bpf_rb_node is disallowed")
int write_the_node(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	*(volatile __u64 *)&e->node = 0;
	bpf_obj_drop(e);
	return 0;
}

SEC("tc") __accept
int write_after_the_node(struct __sk_buff *ctx)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	*(volatile __u64 *)&e->hits = 0;
	bpf_obj_drop(e);
	return 0;
}
