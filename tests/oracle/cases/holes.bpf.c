/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Linux 6.18 accepts although it is not safe, each beside a program that it refuses or that
 * is safe. To be loaded only, never run: they break the kernel's memory.
 */
#include "oracle.h"

struct tally {
	__u64 packets;
	__u64 bytes;
};

struct shared {
	__u64 value;
	struct bpf_list_node link;
	struct bpf_refcount refs;
};

struct slot {
	struct tally __percpu_kptr *percpu;
	struct tally __kptr *plain;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

static __always_inline struct slot *a_slot(void)
{
	__u32 key = bpf_get_prandom_u32();

	return bpf_map_lookup_elem(&slots, &key);
}

#define xchg(field, object) ((void *)(bpf_kptr_xchg)(field, (void *)(object)))

/* A plain object goes in, and comes out as one with a part for each CPU. */
SEC("tc") __reject("invalid kptr access") __kernel_accepts
__reason("a per-CPU drop of the ordinary object would free what it has not")
int plain_in_percpu_field(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	void *t;

	if (!s)
		return 0;
	t = bpf_obj_new(struct tally);
	if (!t)
		return 0;
	t = xchg(&s->percpu, t);
	if (t)
		bpf_percpu_obj_drop(t);
	return 0;
}

SEC("tc") __reject("invalid kptr access")
int percpu_in_plain_field(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	void *t;

	if (!s)
		return 0;
	t = (void *)bpf_percpu_obj_new(struct tally);
	if (!t)
		return 0;
	t = xchg(&s->plain, t);
	if (t)
		bpf_obj_drop(t);
	return 0;
}

/* The count is looked for at its offset from the pointer, wherever in the object that points. */
SEC("tc") __reject("disallowed") __kernel_accepts
__reason("what comes back is taken for the object's start")
int acquire_of_a_member(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared);
	void *t;

	if (!s)
		return 0;
	t = bpf_refcount_acquire_impl(&s->link, NULL);
	if (t)
		bpf_obj_drop(t);
	bpf_obj_drop(s);
	return 0;
}

SEC("tc") __reject("must have zero offset when passed to release func")
int drop_of_a_member(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared);

	if (!s)
		return 0;
	bpf_obj_drop((void *)&s->link);
	return 0;
}

/* There is no part for a CPU that does not exist, but nobody has to ask. */
SEC("tc") __reject("invalid mem access") __kernel_accepts
__reason("there may be no CPU of that number, and the pointer is NULL then")
int part_of_any_cpu_unchecked(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	struct tally *its;
	void *t;

	if (!s)
		return 0;
	t = (void *)s->percpu;
	if (!t)
		return 0;
	its = bpf_per_cpu_ptr(t, bpf_get_prandom_u32());
	its->packets++;
	return 0;
}

SEC("tc") __reject("type=percpu_rcu_ptr_or_null_ expected=percpu_ptr_,")
int part_of_any_cpu_of_an_unchecked_object(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();
	struct tally *its;
	void *t;

	if (!s)
		return 0;
	t = (void *)s->percpu;
	its = bpf_per_cpu_ptr(t, bpf_get_prandom_u32());
	its->packets++;
	return 0;
}

__weak __noinline int reads_nonnull(struct tally *t __arg_nonnull)
{
	return t->packets;
}

/* An argument that must not be NULL may be the constant. */
SEC("tc") __reject("is expected to be non-NULL") __kernel_accepts
__reason("the function may use its argument without a check")
int nonnull_argument_is_null(struct __sk_buff *ctx)
{
	struct tally *t = NULL;

	barrier_var(t);
	return reads_nonnull(t) & 1;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int nonnull_argument_may_be_null(struct __sk_buff *ctx)
{
	struct slot *s = a_slot();

	return reads_nonnull((void *)s) & 1;
}

/* -------------------------------------------------------------------- seen in a section that has ended */

struct counted {
	struct bpf_refcount refs;
	struct counted __kptr *other;
	__u64 value;
};

__kptr_type(struct counted);

struct keeper {
	struct counted __kptr *kept;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct keeper);
} keepers SEC(".maps");

static __always_inline int acquire_seen(_Bool again)
{
	__u32 key = 0;
	struct keeper *k = bpf_map_lookup_elem(&keepers, &key);
	struct counted *seen, *mine;

	if (!k)
		return 0;
	bpf_rcu_read_lock();
	seen = k->kept;
	if (!seen) {
		bpf_rcu_read_unlock();
		return 0;
	}
	if (again) {
		bpf_rcu_read_unlock();
		bpf_rcu_read_lock();
	}
	mine = bpf_refcount_acquire(seen);
	bpf_rcu_read_unlock();
	if (mine)
		bpf_obj_drop(mine);
	return 0;
}

SEC("syscall") __reject("is neither owning or non-owning ref") __kernel_accepts
__reason("the object may be gone by the second section")
int acquire_of_an_earlier_section(void *ctx)
{
	return acquire_seen(1);
}

SEC("syscall") __accept
int acquire_of_this_section(void *ctx)
{
	return acquire_seen(0);
}
