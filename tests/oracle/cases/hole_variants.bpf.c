/* SPDX-License-Identifier: Apache-2.0 */
/* Variants of holes that were found and mended, each beside programs that are right. */
#include "oracle.h"

#define global __weak __noinline

struct pair {
	__u64 left;
	__u64 right;
};

struct locked {
	struct bpf_spin_lock lock;
	__u64 n;
};

struct shared {
	__u64 value;
	struct bpf_list_node link;
	struct bpf_rb_node node;
	struct bpf_refcount refs;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct pair);
} pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct locked);
} locks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct locked);
} hash SEC(".maps");

struct pair zone;

/* ------------------------------------------------- NULL for what must not be NULL */

global int left_of(struct pair *p __arg_nonnull)
{
	return p->left;
}

global int left_or_0(struct pair *p)
{
	return p ? p->left : 0;
}

#define NONNULL(name, verdict, type, argument)            \
	SEC(type) verdict int name(void *ctx)             \
	{                                                 \
		struct pair *p;                           \
		__u32 key = 0;                            \
                                                          \
		p = argument;                             \
		barrier_var(p);                           \
		return left_of(p) & 1;                    \
	}

#define gives_null __reject("is expected to be non-NULL") __kernel_accepts \
	__reason("the function may use its argument without a check")

NONNULL(null_from_tc, gives_null, "tc", NULL)
NONNULL(null_from_xdp, gives_null, "xdp", NULL)
NONNULL(null_from_syscall, gives_null, "syscall", NULL)
NONNULL(a_number, __reject("Caller passes invalid args into func#1"), "tc", (void *)16)
NONNULL(a_global, __accept, "tc", &zone)
NONNULL(a_value_of_a_constant_key, __accept, "tc", bpf_map_lookup_elem(&pairs, &key))

SEC("tc") __reject("Caller passes invalid args into func#1")
int a_value_of_any_key(struct __sk_buff *ctx)
{
	__u32 key = ctx->len;

	return left_of(bpf_map_lookup_elem(&pairs, &key)) & 1;
}

SEC("tc") __accept
int a_value_that_was_checked(struct __sk_buff *ctx)
{
	__u32 key = ctx->len;
	struct pair *p = bpf_map_lookup_elem(&pairs, &key);

	return p ? left_of(p) & 1 : 0;
}

SEC("tc") gives_null
int a_value_that_was_not_there(struct __sk_buff *ctx)
{
	__u32 key = ctx->len;
	struct pair *p = bpf_map_lookup_elem(&pairs, &key);

	if (p)
		return 0;
	barrier_var(p);
	return left_of(p) & 1;
}

SEC("tc") __accept
int null_where_it_may_be(struct __sk_buff *ctx)
{
	struct pair *p = NULL;

	barrier_var(p);
	return left_or_0(p) & 1;
}

static __noinline int passes_on(struct pair *p)
{
	barrier_var(p);
	return left_of(p);
}

SEC("tc") gives_null
int null_by_a_static_function(struct __sk_buff *ctx)
{
	struct pair *p = ctx->len > 10 ? &zone : NULL;

	barrier_var(p);
	return passes_on(p) & 1;
}

SEC("tc") __accept
int a_global_by_a_static_function(struct __sk_buff *ctx)
{
	return passes_on(&zone) & 1;
}

global int passes_null_on(struct pair *p)
{
	return left_of(p);
}

SEC("tc") __reject("Caller passes invalid args into func#2")
int unchecked_in_a_global_function(struct __sk_buff *ctx)
{
	return passes_null_on(&zone) & 1;
}

/* ------------------------------------------------- functions that sleep */

global int sleeps(int n)
{
	char b[8];

	return bpf_copy_from_user(b, sizeof(b), NULL) & n;
}

static __noinline int sleeps_too(int n)
{
	return sleeps(n) + 1;
}

global int sleeps_further_down(int n)
{
	return sleeps_too(n);
}

static long sleeping_turn(__u32 i, void *ctx)
{
	return sleeps(i) & 1;
}

global int sleeps_in_a_callback(int n)
{
	return bpf_loop(n, sleeping_turn, NULL, 0);
}

global int wakes(int n)
{
	return n + 1;
}

#define IN_SECTION(name, verdict, called)         \
	SEC("syscall") verdict int name(void *ctx) \
	{                                         \
		int n;                            \
                                                  \
		bpf_rcu_read_lock();              \
		n = called(3);                    \
		bpf_rcu_read_unlock();            \
		return n & 1;                     \
	}

#define AFTER_SECTION(name, called)               \
	SEC("syscall") __accept int name(void *ctx) \
	{                                         \
		bpf_rcu_read_lock();              \
		bpf_rcu_read_unlock();            \
		return called(3) & 1;             \
	}

IN_SECTION(global_sleeps, __reject("global functions that may sleep"), sleeps)
IN_SECTION(global_below_static_sleeps, __reject("global functions that may sleep"), sleeps_too)
IN_SECTION(global_sleeps_further_down, __reject("global functions that may sleep"), sleeps_further_down)
IN_SECTION(global_sleeps_in_a_callback, __reject("global functions that may sleep"), sleeps_in_a_callback)
IN_SECTION(global_is_awake, __accept, wakes)
AFTER_SECTION(global_sleeps_after, sleeps)
AFTER_SECTION(static_sleeps_after, sleeps_too)
AFTER_SECTION(global_sleeps_further_down_after, sleeps_further_down)
AFTER_SECTION(global_sleeps_in_a_callback_after, sleeps_in_a_callback)

static long turn_in_a_section(__u32 i, void *ctx)
{
	int n;

	bpf_rcu_read_lock();
	n = sleeps(i);
	bpf_rcu_read_unlock();
	return n & 1;
}

SEC("syscall") __reject("global functions that may sleep")
int section_in_a_callback(void *ctx)
{
	bpf_loop(2, turn_in_a_section, NULL, 0);
	return 0;
}

SEC("syscall") __reject("global functions that may sleep")
int callback_in_a_section(void *ctx)
{
	bpf_rcu_read_lock();
	bpf_loop(2, sleeping_turn, NULL, 0);
	bpf_rcu_read_unlock();
	return 0;
}

/* ------------------------------------------------- locks of values that a key finds */

#define LOCKS(name, verdict, one, first, other, second)                    \
	SEC("tc") verdict int name(struct __sk_buff *ctx)                  \
	{                                                                  \
		__u32 a = first, b = second;                               \
		struct locked *v = bpf_map_lookup_elem(&one, &a);          \
		struct locked *w = bpf_map_lookup_elem(&other, &b);        \
                                                                           \
		if (!v || !w)                                              \
			return 0;                                          \
		bpf_spin_lock(&v->lock);                                   \
		bpf_spin_unlock(&w->lock);                                 \
		return 0;                                                  \
	}

LOCKS(keys_0_and_1, __reject("of different lock"), locks, 0, locks, 1)
LOCKS(keys_0_and_0, __reject("of different lock"), locks, 0, locks, 0)
LOCKS(keys_3_and_2, __reject("of different lock"), locks, 3, locks, 2)
LOCKS(any_keys, __reject("of different lock"), locks, ctx->len, locks, ctx->mark)
LOCKS(constant_and_any_key, __reject("of different lock"), locks, 1, locks, ctx->mark)
LOCKS(any_and_constant_key, __reject("of different lock"), locks, ctx->mark, locks, 1)
LOCKS(keys_of_a_hash, __reject("of different lock"), hash, 0, hash, 0)
LOCKS(keys_of_two_maps, __reject("of different lock"), locks, 0, hash, 0)

SEC("tc") __accept
int the_same_value(struct __sk_buff *ctx)
{
	__u32 a = 1;
	struct locked *v = bpf_map_lookup_elem(&locks, &a), *w;

	if (!v)
		return 0;
	w = v;
	barrier_var(w);
	bpf_spin_lock(&v->lock);
	bpf_spin_unlock(&w->lock);
	return 0;
}

SEC("tc") __accept
int one_after_another(struct __sk_buff *ctx)
{
	__u32 a = 1, b = 2;
	struct locked *v = bpf_map_lookup_elem(&locks, &a);
	struct locked *w = bpf_map_lookup_elem(&locks, &b);

	if (!v || !w)
		return 0;
	bpf_spin_lock(&v->lock);
	bpf_spin_unlock(&v->lock);
	bpf_spin_lock(&w->lock);
	bpf_spin_unlock(&w->lock);
	return 0;
}

static long unlocks_each(void *map, __u32 *key, struct locked *v, struct locked **held)
{
	bpf_spin_unlock(&(*held)->lock);
	bpf_spin_lock(&v->lock);
	return 0;
}

SEC("tc") __reject("function calls are not allowed while holding a lock")
int held_over_values(struct __sk_buff *ctx)
{
	__u32 a = 1;
	struct locked *v = bpf_map_lookup_elem(&locks, &a);

	if (!v)
		return 0;
	bpf_spin_lock(&v->lock);
	bpf_for_each_map_elem(&locks, unlocks_each, &v, 0);
	bpf_spin_unlock(&v->lock);
	return 0;
}

static long locks_each(void *map, __u32 *key, struct locked *v, void *ctx)
{
	bpf_spin_lock(&v->lock);
	v->n++;
	bpf_spin_unlock(&v->lock);
	return 0;
}

SEC("tc") __accept
int each_under_its_lock(struct __sk_buff *ctx)
{
	bpf_for_each_map_elem(&locks, locks_each, NULL, 0);
	return 0;
}

static long locks_another(void *map, __u32 *key, struct locked *v, void *ctx)
{
	struct locked *w = bpf_map_lookup_elem(&locks, key);

	if (!w)
		return 0;
	bpf_spin_lock(&v->lock);
	bpf_spin_unlock(&w->lock);
	return 0;
}

SEC("tc") __reject("of different lock")
int each_and_what_its_key_finds(struct __sk_buff *ctx)
{
	bpf_for_each_map_elem(&locks, locks_another, NULL, 0);
	return 0;
}

/* ------------------------------------------------- counts of owners, by a member's address */

#define ACQUIRES(name, verdict, address)                                  \
	SEC("tc") verdict int name(struct __sk_buff *ctx)                 \
	{                                                                 \
		struct shared *s = bpf_obj_new(struct shared), *t;        \
                                                                          \
		if (!s)                                                   \
			return 0;                                         \
		t = bpf_refcount_acquire_impl((void *)(address), NULL);   \
		if (t)                                                    \
			bpf_obj_drop(t);                                  \
		bpf_obj_drop(s);                                          \
		return 0;                                                 \
	}

#define of_a_member __reject("disallowed") __kernel_accepts \
	__reason("what comes back is taken for the object's start")

ACQUIRES(the_object, __accept, s)
ACQUIRES(its_first_member, __accept, &s->value)
ACQUIRES(its_list_node, of_a_member, &s->link)
ACQUIRES(its_tree_node, of_a_member, &s->node)
ACQUIRES(its_count, of_a_member, &s->refs)
ACQUIRES(its_middle, of_a_member, (char *)s + 4)
ACQUIRES(what_lies_behind, of_a_member, s + 1)
