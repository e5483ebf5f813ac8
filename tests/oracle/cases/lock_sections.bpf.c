/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is seen under a spin lock stays until the lock is released. A program that sleeps is in no
 * section then, so the object may go; Linux forgets that.
 */
#include "oracle.h"

struct leaf {
	__u64 area;
	__u32 veins;
};

struct bud {
	__u64 area;
	struct bpf_list_node node;
	struct bpf_refcount refs;
};

struct plain {
	__u64 sum;
};

struct twig {
	struct bpf_spin_lock lock;
	__u64 length;
	struct leaf __kptr *leaf;
	struct bud __kptr *bud;
	struct plain __percpu_kptr *counts;
};

__kptr_type(struct leaf);
__kptr_type(struct bud);
__kptr_type(struct plain);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct twig);
} twigs SEC(".maps");

private(A) struct bpf_spin_lock lock_a;

#define gone __kernel_accepts __reason("in a program that sleeps nothing keeps the object any more")
#define volatile_of(p) (*(volatile typeof(p) *)&(p))

static __always_inline struct twig *a_twig(void)
{
	__u32 key = bpf_get_prandom_u32();

	return bpf_map_lookup_elem(&twigs, &key);
}

static __always_inline struct leaf *seen_under_lock(struct twig *t)
{
	struct leaf *l;

	bpf_spin_lock(&t->lock);
	l = t->leaf;
	bpf_spin_unlock(&t->lock);
	return l;
}

SEC("syscall") __reject("its time ended") gone
int read_after_unlock(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	l = seen_under_lock(t);
	return l ? l->area & 1 : 0;
}

SEC("syscall") __reject("only read is supported") gone
int written_after_unlock(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	l = seen_under_lock(t);
	if (l)
		volatile_of(l->area) = 1;
	return 0;
}

SEC("syscall") __reject("only read is supported") gone
int added_to_after_unlock(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	l = seen_under_lock(t);
	if (l)
		__sync_fetch_and_add(&l->area, 1);
	return 0;
}

SEC("syscall") __accept
int read_before_unlock(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;
	__u64 area = 0;

	if (!t)
		return 0;
	bpf_spin_lock(&t->lock);
	l = t->leaf;
	if (l)
		area = l->area;
	bpf_spin_unlock(&t->lock);
	return area & 1;
}

SEC("syscall") __reject("its time ended") gone
int checked_before_unlock(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	bpf_spin_lock(&t->lock);
	l = t->leaf;
	if (!l) {
		bpf_spin_unlock(&t->lock);
		return 0;
	}
	bpf_spin_unlock(&t->lock);
	return l->area & 1;
}

SEC("syscall") __reject("its time ended") gone
int read_under_the_next_lock(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;
	__u64 area = 0;

	if (!t)
		return 0;
	l = seen_under_lock(t);
	bpf_spin_lock(&t->lock);
	if (l)
		area = l->area;
	bpf_spin_unlock(&t->lock);
	return area & 1;
}

SEC("syscall") __reject("its time ended") gone
int seen_under_a_global_lock(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	bpf_spin_lock(&lock_a);
	l = t->leaf;
	bpf_spin_unlock(&lock_a);
	return l ? l->area & 1 : 0;
}

static __noinline void unlock(struct twig *t)
{
	bpf_spin_unlock(&t->lock);
}

SEC("syscall") __reject("its time ended") gone
int unlocked_by_callee(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	bpf_spin_lock(&t->lock);
	l = t->leaf;
	unlock(t);
	return l ? l->area & 1 : 0;
}

SEC("syscall") __reject("its time ended") gone
int spilled_over_unlock(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *volatile l;
	struct leaf *again;

	if (!t)
		return 0;
	bpf_spin_lock(&t->lock);
	l = t->leaf;
	bpf_spin_unlock(&t->lock);
	again = l;
	return again ? again->area & 1 : 0;
}

SEC("syscall") __reject("expected=percpu_ptr_") gone
int this_cpu_after_unlock(void *ctx)
{
	struct twig *t = a_twig();
	struct plain *all;

	if (!t)
		return 0;
	bpf_spin_lock(&t->lock);
	all = (void *)t->counts;
	bpf_spin_unlock(&t->lock);
	return all ? ((struct plain *)bpf_this_cpu_ptr(all))->sum & 1 : 0;
}

SEC("syscall") __accept
int section_around_the_lock(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;
	__u64 area;

	if (!t)
		return 0;
	bpf_rcu_read_lock();
	l = seen_under_lock(t);
	area = l ? l->area : 0;
	bpf_rcu_read_unlock();
	return area & 1;
}

SEC("syscall") __reject("only read is supported")
int section_around_the_lock_over(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	bpf_rcu_read_lock();
	l = seen_under_lock(t);
	bpf_rcu_read_unlock();
	if (l)
		volatile_of(l->area) = 1;
	return 0;
}

SEC("syscall") __reject("its time ended") gone
int seen_before_the_section(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;
	__u64 area;

	if (!t)
		return 0;
	l = seen_under_lock(t);
	bpf_rcu_read_lock();
	area = l ? l->area : 0;
	bpf_rcu_read_unlock();
	return area & 1;
}

SEC("tc") __accept
int tc_is_one_section(struct __sk_buff *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	l = seen_under_lock(t);
	if (l)
		volatile_of(l->area) = 1;
	return 0;
}

SEC("xdp") __accept
int xdp_is_one_section(struct xdp_md *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	l = seen_under_lock(t);
	return l ? l->area & 1 : 0;
}

/* An object with a node is lent as out of a list: until the next unlock, in any program. */
SEC("syscall") __reject("invalid mem access 'scalar'")
int node_read_after_unlock(void *ctx)
{
	struct twig *t = a_twig();
	struct bud *b;

	if (!t)
		return 0;
	bpf_spin_lock(&t->lock);
	b = t->bud;
	bpf_spin_unlock(&t->lock);
	return b ? b->area & 1 : 0;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int tc_node_read_after_unlock(struct __sk_buff *ctx)
{
	struct twig *t = a_twig();
	struct bud *b;

	if (!t)
		return 0;
	bpf_spin_lock(&t->lock);
	b = t->bud;
	bpf_spin_unlock(&t->lock);
	return b ? b->area & 1 : 0;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int tc_node_seen_before_lock(struct __sk_buff *ctx)
{
	struct twig *t = a_twig();
	struct bud *b;

	if (!t)
		return 0;
	b = t->bud;
	bpf_spin_lock(&lock_a);
	bpf_spin_unlock(&lock_a);
	return b ? b->area & 1 : 0;
}

SEC("tc") __accept
int tc_node_seen_without_lock(struct __sk_buff *ctx)
{
	struct twig *t = a_twig();
	struct bud *b;

	if (!t)
		return 0;
	b = t->bud;
	return b ? b->area & 1 : 0;
}

SEC("tc") __accept
int tc_node_read_before_unlock(struct __sk_buff *ctx)
{
	struct twig *t = a_twig();
	struct bud *b;
	__u64 area = 0;

	if (!t)
		return 0;
	bpf_spin_lock(&t->lock);
	b = t->bud;
	if (b)
		area = b->area;
	bpf_spin_unlock(&t->lock);
	return area & 1;
}

SEC("syscall") __reject("invalid mem access 'scalar'")
int node_in_a_section_around_the_lock(void *ctx)
{
	struct twig *t = a_twig();
	struct bud *b;
	__u64 area;

	if (!t)
		return 0;
	bpf_rcu_read_lock();
	bpf_spin_lock(&t->lock);
	b = t->bud;
	bpf_spin_unlock(&t->lock);
	area = b ? b->area : 0;
	bpf_rcu_read_unlock();
	return area & 1;
}

SEC("syscall") __reject("neither owning or non-owning ref")
int node_acquired_after_unlock(void *ctx)
{
	struct twig *t = a_twig();
	struct bud *b;

	if (!t)
		return 0;
	bpf_spin_lock(&t->lock);
	b = t->bud;
	bpf_spin_unlock(&t->lock);
	if (!b)
		return 0;
	b = bpf_refcount_acquire(b);
	if (b)
		bpf_obj_drop(b);
	return 0;
}

SEC("syscall") __accept
int node_acquired_before_unlock(void *ctx)
{
	struct twig *t = a_twig();
	struct bud *b;
	__u64 area;

	if (!t)
		return 0;
	bpf_spin_lock(&t->lock);
	b = t->bud;
	b = b ? bpf_refcount_acquire(b) : NULL;
	bpf_spin_unlock(&t->lock);
	if (!b)
		return 0;
	area = b->area;
	bpf_obj_drop(b);
	return area & 1;
}

SEC("tc") __accept
int tc_node_of_our_own(struct __sk_buff *ctx)
{
	struct bud *b = bpf_obj_new(struct bud);
	__u64 area;

	if (!b)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_spin_unlock(&lock_a);
	area = b->area;
	bpf_obj_drop(b);
	return area & 1;
}
