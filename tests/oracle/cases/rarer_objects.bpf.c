/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that are only looked at, or exist once per CPU, and what is read of them. */
#include "oracle.h"

struct twig {
	__u64 value;
};

struct orchard {
	__u32 small;
	__u64 wide;
	__u32 cells[4];
	struct twig *leaf;
	__u8 last;
};

__kptr_type(struct orchard);
__kptr_type(struct twig);

struct stash {
	struct orchard __kptr_untrusted *tree;
	struct twig __kptr_untrusted *twig;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct stash);
} stashes SEC(".maps");

static __always_inline struct orchard *a_tree(void)
{
	__u32 key = bpf_get_prandom_u32();
	struct stash *s = bpf_map_lookup_elem(&stashes, &key);

	return s ? s->tree : 0;
}

#define READ(name, type, expression)                                                          \
	int name(struct __sk_buff *ctx)                                                       \
	{                                                                                     \
		struct orchard *t = a_tree();                                                    \
                                                                                              \
		return t ? *(volatile type *)(expression) & 1 : 0;                            \
	}

/* -------------------------------------------------------------------- one member at a time */

SEC("tc") __accept
READ(untrusted_small, __u32, &t->small)

SEC("tc") __reject("access beyond the end of member small")
READ(untrusted_beyond_member, __u64, &t->small)

SEC("tc") __reject("doesn't have field at offset")
READ(untrusted_between_members, __u32, (char *)t + 4)

SEC("tc") __accept
READ(untrusted_array, __u32, &t->cells[2])

SEC("tc") __accept
READ(untrusted_leaf, __u64, &t->leaf->value)

SEC("tc") __reject("access beyond struct twig")
READ(untrusted_past_leaf, __u64, (char *)t->leaf + 8)

SEC("tc") __reject("cannot access ptr member leaf")
READ(untrusted_half_of_pointer, __u32, (char *)&t->leaf + 4)

/* ----------------------------------------------------------------------- who may have it */

__weak __noinline int reads_leaf(struct twig *l __arg_nonnull)
{
	return l->value & 1;
}

SEC("tc") __accept
int leaf_to_global_function(struct __sk_buff *ctx)
{
	struct twig l = {};

	return reads_leaf(&l);
}

SEC("tc") __reject("") __kernel_accepts
__reason("Linux lets a global function write into an object that may be gone")
int untrusted_to_global_function(struct __sk_buff *ctx)
{
	__u32 key = bpf_get_prandom_u32();
	struct stash *s = bpf_map_lookup_elem(&stashes, &key);
	struct twig *l = s ? s->twig : 0;

	return l ? reads_leaf(l) : 0;
}

__weak __noinline int adds(int a, int b)
{
	return a + b;
}

SEC("tc") __accept
int both_arguments(struct __sk_buff *ctx)
{
	return adds(1, 2);
}

SEC("tc") __reject("Caller passes invalid args")
int one_argument(struct __sk_buff *ctx)
{
	asm volatile("call 7;"
		     "r1 = 1;"
		     "call %[f];" ::[f] "i"(adds) : "r0", "r1", "r2", "r3", "r4", "r5");
	return 0;
}

/* ----------------------------------------------------------------------- one for each CPU */

struct inner {
	__u32 a;
	__u32 b[2];
};

struct nested {
	struct inner inner;
	__u64 word;
};

struct with_pointer {
	__u64 word;
	__u8 *bytes;
};

struct pointer_inside {
	struct with_pointer inner;
};

struct large {
	__u64 word[65];
};

struct just_fits {
	__u64 word[64];
};

union either {
	__u64 word;
	__u32 half;
};

struct with_union {
	union either either;
};

struct level4 { __u64 word; };
struct level3 { struct level4 next; };
struct level2 { struct level3 next; };
struct level1 { struct level2 next; };
struct level0 { struct level1 next; };

#define PER_CPU(name, type)                                                                   \
	int name(struct __sk_buff *ctx)                                                       \
	{                                                                                     \
		struct type __percpu_kptr *p = bpf_percpu_obj_new(struct type);               \
                                                                                              \
		if (p)                                                                        \
			bpf_percpu_obj_drop(p);                                               \
		return 0;                                                                     \
	}

SEC("tc") __accept
PER_CPU(percpu_just_fits, just_fits)

SEC("tc") __reject("is greater than 512")
PER_CPU(percpu_too_large, large)

SEC("tc") __accept
PER_CPU(percpu_nested, nested)

SEC("tc") __reject("must be of a struct of scalars")
PER_CPU(percpu_pointer, with_pointer)

SEC("tc") __reject("must be of a struct of scalars")
PER_CPU(percpu_pointer_inside, pointer_inside)

SEC("tc") __accept
PER_CPU(percpu_union, with_union)

SEC("tc") __accept
PER_CPU(percpu_four_levels, level1)

SEC("tc") __reject("must be of a struct of scalars")
PER_CPU(percpu_five_levels, level0)

/* ------------------------------------------------------------------- lists, trees, locks */

struct knot {
	__u64 key;
	struct bpf_list_node in_list;
	struct bpf_rb_node in_tree;
	struct bpf_refcount refs;
};

struct guarded {
	struct bpf_spin_lock lock;
	struct bpf_list_head list __contains(knot, in_list);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct guarded);
} guardeds SEC(".maps");

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_rb_root root __contains(knot, in_tree);

SEC("tc") __reject("arg#0 expected pointer to map value or allocated object")
int list_on_the_stack(struct __sk_buff *ctx)
{
	struct bpf_list_head head = {};
	struct knot *n = bpf_obj_new(struct knot);

	if (n)
		bpf_list_push_front(&head, &n->in_list);
	return 0;
}

SEC("tc") __reject("arg#0")
int list_of_value_that_may_be_null(struct __sk_buff *ctx)
{
	__u32 key = bpf_get_prandom_u32();
	struct guarded *g = bpf_map_lookup_elem(&guardeds, &key);
	struct bpf_list_node *n;

	bpf_spin_lock(&lock);
	n = bpf_list_pop_front((void *)g);
	bpf_spin_unlock(&lock);
	if (n)
		bpf_obj_drop(container_of(n, struct knot, in_list));
	return 0;
}

SEC("tc") __reject("arg2 expected pointer to func")
int no_comparison(struct __sk_buff *ctx)
{
	struct knot *n = bpf_obj_new(struct knot);

	if (!n)
		return 0;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&root, &n->in_tree, (void *)0);
	bpf_spin_unlock(&lock);
	return 0;
}

/* ---------------------------------------------------------------- one load of many things */

/* A record of a ring buffer, a kptr that was looked at, and one that may be gone. */
struct sorts {
	struct twig __kptr *seen;
	struct twig __kptr_untrusted *untrusted;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct sorts);
} sorts SEC(".maps");

/* The number behind one of two pointers, by one instruction. */
static __always_inline __u64 read_either(__u64 *one, __u64 *two)
{
	__u64 *p = one;

	if (bpf_get_prandom_u32() & 1)
		p = two;
	barrier_var(p);
	return *p;
}

SEC("tc") __accept
int reads_seen_or_untrusted(struct __sk_buff *ctx)
{
	__u32 key = bpf_get_prandom_u32();
	struct sorts *s = bpf_map_lookup_elem(&sorts, &key);
	struct twig *seen, *untrusted;

	if (!s)
		return 0;
	seen = s->seen;
	untrusted = s->untrusted;
	return seen && untrusted ? read_either(&seen->value, &untrusted->value) & 1 : 0;
}

SEC("tc") __accept
int reads_element_or_seen(struct __sk_buff *ctx)
{
	__u32 key = bpf_get_prandom_u32();
	struct sorts *s = bpf_map_lookup_elem(&sorts, &key);
	struct bpf_iter_num it;
	struct twig *seen;
	int *element, found = 0;

	if (!s)
		return 0;
	seen = s->seen;
	bpf_iter_num_new(&it, 0, 3);
	element = bpf_iter_num_next(&it);
	if (seen && element) {
		int *p = (int *)&seen->value;

		if (bpf_get_prandom_u32() & 1)
			p = element;
		barrier_var(p);
		found = *p & 1;
	}
	bpf_iter_num_destroy(&it);
	return found;
}
