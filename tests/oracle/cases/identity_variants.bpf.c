/* SPDX-License-Identifier: Apache-2.0 */
/* Which lock it is, and where a counted object begins, by other ways than those of identity.bpf.c. */
#include "oracle.h"

struct ledger {
	struct bpf_spin_lock lock;
	__u32 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct ledger);
} ledgers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct ledger);
} hash SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct ledger);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} outer_hash SEC(".maps");

#define different __reject("bpf_spin_unlock of different lock")

static __always_inline struct ledger *find(void *map, __u32 key)
{
	return bpf_map_lookup_elem(map, &key);
}

static __always_inline struct ledger *find_in(void *maps, __u32 map, __u32 key)
{
	void *inner = bpf_map_lookup_elem(maps, &map);

	return inner ? find(inner, key) : NULL;
}

/* ------------------------------------------------------------------------------ inner maps */

#define PAIR(name, verdict, one, other)                   \
	SEC("tc") verdict int name(struct __sk_buff *ctx) \
	{                                                 \
		struct ledger *a = one;                   \
		struct ledger *b = other;                 \
                                                          \
		if (!a || !b)                             \
			return 0;                         \
		bpf_spin_lock(&a->lock);                  \
		a->count++;                               \
		bpf_spin_unlock(&b->lock);                \
		return 0;                                 \
	}

PAIR(two_keys_of_an_inner_map, different, find_in(&outer, 0, 0), find_in(&outer, 0, 1))
PAIR(one_key_of_an_inner_map, different, find_in(&outer, 0, 0), find_in(&outer, 0, 0))
PAIR(one_key_of_two_inner_maps, different, find_in(&outer, 0, 0), find_in(&outer, 1, 0))
PAIR(of_an_inner_and_an_outer_map, different, find_in(&outer, 0, 0), find(&ledgers, 0))
PAIR(of_inner_maps_by_key, different, find_in(&outer_hash, 0, 0), find_in(&outer_hash, 0, 0))
PAIR(of_two_kinds_of_outer_maps, different, find_in(&outer, 0, 0), find_in(&outer_hash, 0, 0))
PAIR(any_key_of_inner_maps, different, find_in(&outer, ctx->len, 0), find_in(&outer, ctx->len, 0))
PAIR(of_an_array_and_a_hash, different, find(&ledgers, 0), find(&hash, 0))
PAIR(of_a_hash_twice, different, find(&hash, ctx->len), find(&hash, ctx->len))

SEC("tc") __accept
int a_value_of_an_inner_map(struct __sk_buff *ctx)
{
	struct ledger *a = find_in(&outer, 0, 1), *b = a;

	if (!a)
		return 0;
	barrier_var(b);
	bpf_spin_lock(&a->lock);
	a->count++;
	bpf_spin_unlock(&b->lock);
	return 0;
}

SEC("tc") __reject("bpf_spin_unlock of different lock")
int an_inner_map_once_for_two_keys(struct __sk_buff *ctx)
{
	__u32 key = 0;
	void *inner = bpf_map_lookup_elem(&outer, &key);
	struct ledger *a, *b;

	if (!inner)
		return 0;
	a = find(inner, 2);
	b = find(inner, 3);
	if (!a || !b)
		return 0;
	bpf_spin_lock(&a->lock);
	bpf_spin_unlock(&b->lock);
	return 0;
}

/* ------------------------------------------------------- locks by copies, spills and joins */

SEC("tc") __accept
int unlocked_by_a_spill(struct __sk_buff *ctx)
{
	struct ledger *a = find(&ledgers, 2);
	struct ledger *volatile kept = a;

	if (!a)
		return 0;
	kept = a;
	bpf_spin_lock(&a->lock);
	a->count++;
	bpf_spin_unlock(&kept->lock);
	return 0;
}

SEC("tc") different
int unlocked_by_another_spill(struct __sk_buff *ctx)
{
	struct ledger *a = find(&ledgers, 2), *b = find(&ledgers, 2);
	struct ledger *volatile kept;

	if (!a || !b)
		return 0;
	kept = b;
	bpf_spin_lock(&a->lock);
	a->count++;
	bpf_spin_unlock(&kept->lock);
	return 0;
}

SEC("tc") different
int either_of_two(struct __sk_buff *ctx)
{
	struct ledger *a = find(&ledgers, 1), *b = find(&ledgers, 2), *c;

	if (!a || !b)
		return 0;
	c = ctx->len > 9 ? a : b;
	barrier_var(c);
	bpf_spin_lock(&c->lock);
	c->count++;
	bpf_spin_unlock(&a->lock);
	return 0;
}

SEC("tc") __accept
int the_one_of_two(struct __sk_buff *ctx)
{
	struct ledger *a = find(&ledgers, 1), *b = find(&ledgers, 2), *c;

	if (!a || !b)
		return 0;
	c = ctx->len > 9 ? a : b;
	barrier_var(c);
	bpf_spin_lock(&c->lock);
	c->count++;
	bpf_spin_unlock(&c->lock);
	return 0;
}

static __noinline int unlocks(struct ledger *a)
{
	if (a)
		bpf_spin_unlock(&a->lock);
	return 0;
}

SEC("tc") __accept
int unlocked_in_a_function(struct __sk_buff *ctx)
{
	struct ledger *a = find(&ledgers, 1);

	if (!a)
		return 0;
	bpf_spin_lock(&a->lock);
	return unlocks(a);
}

SEC("tc") different
int another_is_unlocked_in_a_function(struct __sk_buff *ctx)
{
	struct ledger *a = find(&ledgers, 1), *b = find(&ledgers, 0);

	if (!a || !b)
		return 0;
	bpf_spin_lock(&a->lock);
	return unlocks(b);
}

static __noinline struct ledger *found(__u32 key)
{
	return bpf_map_lookup_elem(&ledgers, &key);
}

SEC("tc") different
int found_twice_by_a_function(struct __sk_buff *ctx)
{
	struct ledger *a = found(1), *b = found(1);

	if (!a || !b)
		return 0;
	bpf_spin_lock(&a->lock);
	bpf_spin_unlock(&b->lock);
	return 0;
}

/* --------------------------------------------------------------------- elements in callbacks */

static long unlocks_what_is_given(void *map, __u32 *key, struct ledger *value, struct ledger **held)
{
	bpf_spin_lock(&value->lock);
	bpf_spin_unlock(&(*held)->lock);
	return 0;
}

SEC("tc") different
int an_element_and_one_outside(struct __sk_buff *ctx)
{
	struct ledger *a = find(&ledgers, 1);

	if (!a)
		return 0;
	bpf_for_each_map_elem(&ledgers, unlocks_what_is_given, &a, 0);
	return 0;
}

static long keeps_it(void *map, __u32 *key, struct ledger *value, struct ledger **kept)
{
	*kept = value;
	return 0;
}

/* What a callback left in the stack of its caller. */
SEC("tc") different
int an_element_that_a_callback_kept(struct __sk_buff *ctx)
{
	struct ledger *a = find(&ledgers, 1), *kept;

	if (!a)
		return 0;
	kept = a;
	bpf_for_each_map_elem(&ledgers, keeps_it, &kept, 0);
	bpf_spin_lock(&a->lock);
	bpf_spin_unlock(&kept->lock);
	return 0;
}

SEC("tc") __accept
int the_element_that_a_callback_kept(struct __sk_buff *ctx)
{
	struct ledger *a = find(&ledgers, 1), *kept;

	if (!a)
		return 0;
	kept = a;
	bpf_for_each_map_elem(&ledgers, keeps_it, &kept, 0);
	bpf_spin_lock(&kept->lock);
	kept->count++;
	bpf_spin_unlock(&kept->lock);
	return 0;
}

static long locks_the_last(void *map, __u32 *key, struct ledger *value, struct ledger **last)
{
	struct ledger *before = *last;

	*last = value;
	bpf_spin_lock(&value->lock);
	bpf_spin_unlock(&before->lock);
	return 0;
}

/* The element of one round in the next: it is another one. */
SEC("tc") different
int an_element_of_the_round_before(struct __sk_buff *ctx)
{
	struct ledger *last = find(&ledgers, 1);

	if (!last)
		return 0;
	bpf_for_each_map_elem(&ledgers, locks_the_last, &last, 0);
	return 0;
}

static long locks_by_key(__u32 i, void *ctx)
{
	struct ledger *a = find(&ledgers, i), *b = find(&ledgers, i);

	if (!a || !b)
		return 1;
	bpf_spin_lock(&a->lock);
	bpf_spin_unlock(&b->lock);
	return 0;
}

SEC("tc") different
int two_lookups_in_a_loop(struct __sk_buff *ctx)
{
	bpf_loop(4, locks_by_key, NULL, 0);
	return 0;
}

SEC("tc") different
int of_two_rounds_of_an_iterator(struct __sk_buff *ctx)
{
	struct ledger *last = find(&ledgers, 0), *now;
	int i;

	if (!last)
		return 0;
	bpf_for(i, 0, 4) {
		now = find(&ledgers, i);
		if (!now)
			break;
		bpf_spin_lock(&now->lock);
		bpf_spin_unlock(&last->lock);
		last = now;
	}
	return 0;
}

/* ------------------------------------------------------------------------ counted objects */

struct shared {
	__u64 value;
	struct bpf_list_node link;
	struct bpf_rb_node node;
	struct bpf_refcount refs;
	__u64 last;
};

struct first {
	struct bpf_refcount refs;
	__u64 value;
};

struct room {
	struct bpf_spin_lock lock;
	struct bpf_list_head list __contains(shared, link);
	struct bpf_rb_root root __contains(shared, node);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct room);
} rooms SEC(".maps");

#define inside __reject("disallowed") __kernel_accepts \
	__reason("what comes back is taken for the object's start")

#define COUNTS(name, verdict, type, address)                            \
	SEC("tc") verdict int name(struct __sk_buff *ctx)               \
	{                                                               \
		struct type *s = bpf_obj_new(struct type), *t;          \
                                                                        \
		if (!s)                                                 \
			return 0;                                       \
		t = bpf_refcount_acquire_impl((void *)(address), NULL); \
		if (t)                                                  \
			bpf_obj_drop(t);                                \
		bpf_obj_drop(s);                                        \
		return 0;                                               \
	}

static __noinline void *moved_by(struct shared *s)
{
	return &s->link;
}

COUNTS(a_count_that_comes_first, __accept, first, &s->refs)
COUNTS(behind_a_count_that_comes_first, inside, first, &s->value)
COUNTS(a_byte_further, inside, shared, (char *)s + 1)
COUNTS(moved_and_back, __accept, shared, (char *)&s->link - 8)
COUNTS(its_last_member, inside, shared, &s->last)
COUNTS(moved_by_a_function, inside, shared, moved_by(s))

SEC("tc") __reject("variable")
int a_place_that_is_not_known(struct __sk_buff *ctx)
{
	struct shared *s = bpf_obj_new(struct shared), *t;

	if (!s)
		return 0;
	t = bpf_refcount_acquire_impl((char *)s + (ctx->len & 8), NULL);
	if (t)
		bpf_obj_drop(t);
	bpf_obj_drop(s);
	return 0;
}

#define PUSHED(name, verdict, address)                                \
	SEC("tc") verdict int name(struct __sk_buff *ctx)             \
	{                                                             \
		struct shared *s = bpf_obj_new(struct shared), *t;    \
		__u32 key = 0;                                        \
		struct room *r;                                       \
                                                                      \
		if (!s)                                               \
			return 0;                                     \
		r = bpf_map_lookup_elem(&rooms, &key);                \
		if (!r) {                                             \
			bpf_obj_drop(s);                              \
			return 0;                                     \
		}                                                     \
		bpf_spin_lock(&r->lock);                              \
		bpf_list_push_back(&r->list, &s->link);               \
		t = bpf_refcount_acquire_impl((void *)(address), NULL); \
		bpf_spin_unlock(&r->lock);                            \
		if (t)                                                \
			bpf_obj_drop(t);                              \
		return 0;                                             \
	}

PUSHED(of_a_pushed_object, __accept, s)
PUSHED(of_a_pushed_objects_node, inside, &s->link)
PUSHED(of_a_pushed_objects_other_node, inside, &s->node)

