/* SPDX-License-Identifier: Apache-2.0 */
/* Objects with a reference count of their own, owned from several places. */
#include "oracle.h"

struct shared {
	__u64 value;
	struct bpf_list_node link;
	struct bpf_rb_node node;
	struct bpf_refcount refs;
};

struct single {
	__u64 value;
	struct bpf_list_node link;
};

struct holder {
	__u64 id;
	struct shared __kptr *shared;
	struct single __kptr *single;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct holder);
} holders SEC(".maps");

private(A) struct bpf_spin_lock lock_a;
private(A) struct bpf_list_head list_a __contains(shared, link);
private(A) struct bpf_rb_root root_a __contains(shared, node);
private(A) struct bpf_list_head singles __contains(single, link);

static __always_inline struct holder *a_holder(void)
{
	__u32 key = bpf_get_prandom_u32();

	return bpf_map_lookup_elem(&holders, &key);
}

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct shared, node)->value <
	       container_of(b, struct shared, node)->value;
}

SEC("tc") __accept
int acquire(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;

	if (!s)
		return 0;
	t = bpf_refcount_acquire(s);
	bpf_obj_drop(s);
	bpf_obj_drop(t);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int acquire_second_lost(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared);

	if (!s)
		return 0;
	bpf_refcount_acquire(s);
	bpf_obj_drop(s);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int acquire_first_lost(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;

	if (!s)
		return 0;
	t = bpf_refcount_acquire(s);
	bpf_obj_drop(t);
	return 0;
}

SEC("tc") __reject("arg#0 doesn't point to a type with bpf_refcount field")
int acquire_without_a_count(struct __sk_buff *ctx)
{
	struct single *s = bpf_obj_new(struct single), *t;

	if (!s)
		return 0;
	t = bpf_refcount_acquire(s);
	bpf_obj_drop(s);
	bpf_obj_drop(t);
	return 0;
}

SEC("tc") __reject("Possibly NULL pointer passed to trusted arg0")
int acquire_unchecked(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;

	t = bpf_refcount_acquire(s);
	if (s)
		bpf_obj_drop(s);
	if (t)
		bpf_obj_drop(t);
	return 0;
}

SEC("tc") __reject("arg#0 is neither owning or non-owning ref")
int acquire_after_drop(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;

	if (!s)
		return 0;
	bpf_obj_drop(s);
	t = bpf_refcount_acquire(s);
	bpf_obj_drop(t);
	return 0;
}

SEC("tc") __accept
int second_used_after_drop_of_first(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;

	if (!s)
		return 0;
	t = bpf_refcount_acquire(s);
	bpf_obj_drop(s);
	t->value = 1;
	bpf_obj_drop(t);
	return 0;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int first_used_after_drop_of_first(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;

	if (!s)
		return 0;
	t = bpf_refcount_acquire(s);
	bpf_obj_drop(s);
	s->value = 1;
	bpf_obj_drop(t);
	return 0;
}

SEC("tc") __accept
int in_list_and_tree(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;

	if (!s)
		return 0;
	t = bpf_refcount_acquire(s);
	bpf_spin_lock(&lock_a);
	bpf_list_push_back(&list_a, &s->link);
	bpf_rbtree_add(&root_a, &t->node, less);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("arg#1 expected pointer to allocated object")
int in_list_and_tree_with_one_reference(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared);

	if (!s)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_back(&list_a, &s->link);
	bpf_rbtree_add(&root_a, &s->node, less);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int acquire_of_what_is_in_a_list(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;

	if (!s)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_back(&list_a, &s->link);
	t = bpf_refcount_acquire(s);
	bpf_spin_unlock(&lock_a);
	if (t)
		bpf_obj_drop(t);
	return 0;
}

/* Of an object that one does not own the count may have reached zero. */
SEC("tc") __reject("Possibly NULL pointer passed to trusted arg0")
int acquire_of_what_is_in_a_list_unchecked(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;

	if (!s)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_back(&list_a, &s->link);
	t = bpf_refcount_acquire(s);
	bpf_spin_unlock(&lock_a);
	bpf_obj_drop(t);
	return 0;
}

SEC("tc") __reject("arg#0 is neither owning or non-owning ref")
int acquire_of_what_is_in_a_list_after_unlock(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;

	if (!s)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_back(&list_a, &s->link);
	bpf_spin_unlock(&lock_a);
	t = bpf_refcount_acquire(s);
	if (t)
		bpf_obj_drop(t);
	return 0;
}

SEC("tc") __accept
int acquire_before_push_used_after_unlock(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;

	if (!s)
		return 0;
	t = bpf_refcount_acquire(s);
	bpf_spin_lock(&lock_a);
	bpf_list_push_back(&list_a, &s->link);
	bpf_spin_unlock(&lock_a);
	t->value = 1;
	bpf_obj_drop(t);
	return 0;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int push_used_after_unlock(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;

	if (!s)
		return 0;
	t = bpf_refcount_acquire(s);
	bpf_spin_lock(&lock_a);
	bpf_list_push_back(&list_a, &s->link);
	bpf_spin_unlock(&lock_a);
	s->value = 1;
	bpf_obj_drop(t);
	return 0;
}

SEC("tc") __accept
int acquire_of_the_front(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;
	struct shared *t = NULL;

	bpf_spin_lock(&lock_a);
	n = bpf_list_front(&list_a);
	if (n)
		t = bpf_refcount_acquire(container_of(n, struct shared, link));
	bpf_spin_unlock(&lock_a);
	if (t)
		bpf_obj_drop(t);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int acquire_of_the_front_lost(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_list_front(&list_a);
	if (n)
		bpf_refcount_acquire(container_of(n, struct shared, link));
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int one_to_the_map_one_to_the_list(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;
	struct holder *h = a_holder();

	if (!s)
		return 0;
	if (!h) {
		bpf_obj_drop(s);
		return 0;
	}
	t = bpf_refcount_acquire(s);
	t = bpf_kptr_xchg(&h->shared, t);
	if (t)
		bpf_obj_drop(t);
	bpf_spin_lock(&lock_a);
	bpf_list_push_back(&list_a, &s->link);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("arg#1 expected pointer to allocated object")
int one_reference_to_map_and_list(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;
	struct holder *h = a_holder();

	if (!s)
		return 0;
	if (!h) {
		bpf_obj_drop(s);
		return 0;
	}
	t = bpf_kptr_xchg(&h->shared, s);
	if (t)
		bpf_obj_drop(t);
	bpf_spin_lock(&lock_a);
	bpf_list_push_back(&list_a, &s->link);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int acquire_of_what_was_taken(struct __sk_buff *ctx)
{
	struct holder *h = a_holder();
	struct shared *s, *t;

	if (!h)
		return 0;
	s = bpf_kptr_xchg(&h->shared, NULL);
	if (!s)
		return 0;
	t = bpf_refcount_acquire(s);
	s = bpf_kptr_xchg(&h->shared, s);
	if (s)
		bpf_obj_drop(s);
	t->value = 1;
	bpf_obj_drop(t);
	return 0;
}

/* Seen under RCU: the count may have reached zero, but it may be asked. */
SEC("tc") __accept
int acquire_of_what_was_seen(struct __sk_buff *ctx)
{
	struct holder *h = a_holder();
	struct shared *s, *t;

	if (!h)
		return 0;
	bpf_rcu_read_lock();
	s = h->shared;
	if (!s) {
		bpf_rcu_read_unlock();
		return 0;
	}
	t = bpf_refcount_acquire(s);
	bpf_rcu_read_unlock();
	if (!t)
		return 0;
	t->value = 1;
	bpf_obj_drop(t);
	return 0;
}

SEC("tc") __reject("invalid mem access 'ptr_or_null_'")
int acquire_of_what_was_seen_unchecked(struct __sk_buff *ctx)
{
	struct holder *h = a_holder();
	struct shared *s, *t;

	if (!h)
		return 0;
	bpf_rcu_read_lock();
	s = h->shared;
	if (!s) {
		bpf_rcu_read_unlock();
		return 0;
	}
	t = bpf_refcount_acquire(s);
	bpf_rcu_read_unlock();
	t->value = 1;
	bpf_obj_drop(t);
	return 0;
}

SEC("syscall") __reject("arg#0 is neither owning or non-owning ref")
int sleepable_acquire_outside_a_section(void *ctx)
{
	struct holder *h = a_holder();
	struct shared *s, *t;

	if (!h)
		return 0;
	s = h->shared;
	if (!s)
		return 0;
	t = bpf_refcount_acquire(s);
	if (t)
		bpf_obj_drop(t);
	return 0;
}

SEC("syscall") __accept
int sleepable_acquire_inside_a_section(void *ctx)
{
	struct holder *h = a_holder();
	struct shared *s, *t;

	if (!h)
		return 0;
	bpf_rcu_read_lock();
	s = h->shared;
	if (!s) {
		bpf_rcu_read_unlock();
		return 0;
	}
	t = bpf_refcount_acquire(s);
	bpf_rcu_read_unlock();
	if (t)
		bpf_obj_drop(t);
	return 0;
}

SEC("tc") __reject("direct access to bpf_refcount is disallowed")
int write_the_count(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared);

	if (!s)
		return 0;
	*(volatile __u32 *)&s->refs = 7;
	bpf_obj_drop(s);
	return 0;
}

SEC("tc") __reject("arg#0 is neither owning or non-owning ref")
int acquire_of_a_map_value(struct __sk_buff *ctx)
{
	struct holder *h = a_holder();
	void *t;

	if (!h)
		return 0;
	t = bpf_refcount_acquire_impl(h, NULL);
	if (t)
		bpf_obj_drop(t);
	return 0;
}

SEC("tc") __accept
int removed_from_tree_stays_in_list(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;
	struct bpf_rb_node *n;

	if (!s)
		return 0;
	t = bpf_refcount_acquire(s);
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &s->node, less);
	bpf_list_push_back(&list_a, &t->link);
	n = bpf_rbtree_remove(&root_a, &s->node);
	bpf_spin_unlock(&lock_a);
	if (n)
		bpf_obj_drop(container_of(n, struct shared, node));
	return 0;
}

/* A reference of one's own keeps the object, so it may be asked to leave a tree. */
SEC("tc") __accept
int remove_by_an_owned_reference(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;
	struct bpf_rb_node *n;

	if (!s)
		return 0;
	t = bpf_refcount_acquire(s);
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &s->node, less);
	bpf_spin_unlock(&lock_a);
	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_remove(&root_a, &t->node);
	bpf_spin_unlock(&lock_a);
	bpf_obj_drop(t);
	if (n)
		bpf_obj_drop(container_of(n, struct shared, node));
	return 0;
}

SEC("tc") __reject("bpf_rbtree_remove can only take non-owning or refcounted")
int remove_by_a_lost_reference(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;
	struct bpf_rb_node *n;

	if (!s)
		return 0;
	t = bpf_refcount_acquire(s);
	bpf_spin_lock(&lock_a);
	bpf_rbtree_add(&root_a, &s->node, less);
	bpf_spin_unlock(&lock_a);
	bpf_spin_lock(&lock_a);
	n = bpf_rbtree_remove(&root_a, &s->node);
	bpf_spin_unlock(&lock_a);
	bpf_obj_drop(t);
	if (n)
		bpf_obj_drop(container_of(n, struct shared, node));
	return 0;
}
