/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Global functions: verified on their own, from the types and tags of their arguments, whatever a
 * caller passes. They are weak, so that the compiler too knows nothing of the one in the other.
 */
#include "oracle.h"

struct pair {
	__u64 left;
	__u64 right;
};

struct box {
	__u64 size;
};

struct value {
	struct pair pair;
	__u8 bytes[16];
};

struct boxed {
	struct box __kptr *box;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct value);
} values SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct boxed);
} boxes SEC(".maps");

private(A) struct bpf_spin_lock lock_a;

__u64 total;

static __always_inline struct value *a_value(void)
{
	__u32 key = bpf_get_prandom_u32();

	return bpf_map_lookup_elem(&values, &key);
}

#define global __weak __noinline

/* -------------------------------------------------------------------------------- scalars */

global int plus_one(int n)
{
	return n + 1;
}

SEC("tc") __accept
int scalar(struct __sk_buff *ctx)
{
	return plus_one(ctx->len) & 1;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int pointer_for_scalar(struct __sk_buff *ctx)
{
	return plus_one((int)(long)ctx) & 1;
}

/* What comes back is any number of the type, whatever the function returns. */
global int returns_5(int n)
{
	return 5;
}

SEC("tc") __reject("value -2147483648 makes map_value pointer be out of bounds")
int return_value_as_index(struct __sk_buff *ctx)
{
	struct value *v = a_value();

	return v ? v->bytes[returns_5(0)] : 0;
}

SEC("tc") __accept
int return_value_as_index_checked(struct __sk_buff *ctx)
{
	struct value *v = a_value();
	__u32 n = returns_5(0);

	return v && n < 16 ? v->bytes[n] : 0;
}

static __noinline int static_returns_5(void)
{
	int n = 5;

	barrier_var(n);
	return n;
}

SEC("tc") __accept
int static_return_value_as_index(struct __sk_buff *ctx)
{
	struct value *v = a_value();

	return v ? v->bytes[static_returns_5()] : 0;
}

/* What the caller knows of an argument does not get in. */
global int indexes_unchecked(__u32 n)
{
	struct value *v = a_value();

	return v ? v->bytes[n] : 0;
}

SEC("tc") __reject("unbounded memory access, make sure to bounds check any such")
int argument_as_index(struct __sk_buff *ctx)
{
	return indexes_unchecked(3);
}

global int indexes_checked(__u32 n)
{
	struct value *v = a_value();

	return v && n < 16 ? v->bytes[n] : 0;
}

SEC("tc") __accept
int argument_as_index_checked(struct __sk_buff *ctx)
{
	return indexes_checked(300);
}

global void returns_nothing(int n)
{
	total += n;
}

/* 6.18 wants a number from each. */
SEC("tc") __reject("doesn't return scalar")
int no_return_value(struct __sk_buff *ctx)
{
	returns_nothing(1);
	return 0;
}

/* ------------------------------------------------------------------------------ not called */

SEC("tc") __accept
int called_in_dead_code(struct __sk_buff *ctx)
{
	__u64 never = 0;

	barrier_var(never);
	if (never)
		return indexes_unchecked(3);
	return 0;
}

SEC("tc") __reject("unbounded memory access, make sure to bounds check any such")
int called_in_live_code(struct __sk_buff *ctx)
{
	__u64 never = ctx->len;

	barrier_var(never);
	if (never)
		return indexes_unchecked(3);
	return 0;
}

global int calls_bad(int n)
{
	return indexes_unchecked(n);
}

SEC("tc") __reject("unbounded memory access, make sure to bounds check any such")
int called_by_another(struct __sk_buff *ctx)
{
	return calls_bad(3);
}

global int calls_good(int n)
{
	return indexes_checked(n) + plus_one(n);
}

SEC("tc") __accept
int good_called_by_another(struct __sk_buff *ctx)
{
	return calls_good(3) & 1;
}

/* ------------------------------------------------------------------------ pointers to memory */

global int reads_pair(struct pair *p)
{
	if (!p)
		return 0;
	return p->left + p->right;
}

SEC("tc") __accept
int pair_on_stack(struct __sk_buff *ctx)
{
	struct pair p = { 1, 2 };

	return reads_pair(&p) & 1;
}

SEC("tc") __accept
int pair_in_map(struct __sk_buff *ctx)
{
	struct value *v = a_value();

	return v ? reads_pair(&v->pair) & 1 : 0;
}

SEC("tc") __accept
int pair_null(struct __sk_buff *ctx)
{
	return reads_pair(NULL) & 1;
}

SEC("tc") __accept
int pair_unchecked(struct __sk_buff *ctx)
{
	struct value *v = a_value();

	return reads_pair((void *)v) & 1;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int pair_too_short(struct __sk_buff *ctx)
{
	__u64 half = 1;

	return reads_pair((void *)&half) & 1;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int pair_past_end_of_value(struct __sk_buff *ctx)
{
	struct value *v = a_value();

	return v ? reads_pair((void *)&v->bytes[8]) & 1 : 0;
}

SEC("tc") __accept
int pair_at_end_of_value(struct __sk_buff *ctx)
{
	struct value *v = a_value();

	return v ? reads_pair((void *)&v->bytes[0]) & 1 : 0;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int pair_is_number(struct __sk_buff *ctx)
{
	return reads_pair((void *)(long)ctx->len) & 1;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int pair_is_context(struct __sk_buff *ctx)
{
	return reads_pair((void *)ctx) & 1;
}

global int reads_pair_unchecked(struct pair *p)
{
	return p->left;
}

SEC("tc") __reject("invalid mem access 'mem_or_null'")
int callee_does_not_check(struct __sk_buff *ctx)
{
	struct pair p = { 1, 2 };

	return reads_pair_unchecked(&p) & 1;
}

global int reads_past_pair(struct pair *p)
{
	if (!p)
		return 0;
	return *(volatile __u64 *)(p + 1);
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int callee_reads_past_end(struct __sk_buff *ctx)
{
	struct pair p[2] = {};

	return reads_past_pair(p) & 1;
}

global int writes_pair(struct pair *p)
{
	if (!p)
		return 0;
	p->left = 7;
	return 0;
}

SEC("tc") __accept
int callee_writes(struct __sk_buff *ctx)
{
	struct pair p = {};

	writes_pair(&p);
	return p.left & 1;
}

/* The callee may have written anything to memory that it was given. */
SEC("tc") __reject("math between map_value pointer and register with unbounded min")
int callee_changes_index(struct __sk_buff *ctx)
{
	struct value *v = a_value();
	struct pair p = {};

	if (!v)
		return 0;
	writes_pair(&p);
	return v->bytes[p.left];
}

SEC("tc") __accept
int callee_changes_index_checked(struct __sk_buff *ctx)
{
	struct value *v = a_value();
	struct pair p = {};

	if (!v)
		return 0;
	writes_pair(&p);
	return p.left < 16 ? v->bytes[p.left] : 0;
}

global int reads_const_pair(const struct pair *p)
{
	return p ? p->left : 0;
}

SEC("tc") __accept
int const_pair(struct __sk_buff *ctx)
{
	struct pair p = { 1, 2 };

	return reads_const_pair(&p) & 1;
}

/* -------------------------------------------------------------------------- tags of arguments */

global int reads_nonnull(struct pair *p __arg_nonnull)
{
	return p->left;
}

SEC("tc") __accept
int nonnull(struct __sk_buff *ctx)
{
	struct pair p = { 1, 2 };

	return reads_nonnull(&p) & 1;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int nonnull_given_unchecked(struct __sk_buff *ctx)
{
	struct value *v = a_value();

	return reads_nonnull((void *)v) & 1;
}

SEC("tc") __accept
int nonnull_given_checked(struct __sk_buff *ctx)
{
	struct value *v = a_value();

	return v ? reads_nonnull((void *)v) & 1 : 0;
}

global int reads_past_nonnull(struct pair *p __arg_nonnull)
{
	return *(volatile __u64 *)(p + 1);
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int nonnull_read_past_end(struct __sk_buff *ctx)
{
	struct pair p[2] = {};

	return reads_past_nonnull(p) & 1;
}

global int two_pairs(struct pair *p __arg_nonnull, struct pair *q)
{
	return q ? p->left + q->left : p->left;
}

SEC("tc") __accept
int second_null(struct __sk_buff *ctx)
{
	struct pair p = { 1, 2 };

	return two_pairs(&p, NULL) & 1;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int first_maybe_null(struct __sk_buff *ctx)
{
	struct value *v = a_value();
	struct pair p = { 1, 2 };

	return two_pairs((void *)v, &p) & 1;
}

SEC("tc") __accept
int second_maybe_null(struct __sk_buff *ctx)
{
	struct value *v = a_value();
	struct pair p = { 1, 2 };

	return two_pairs(&p, (void *)v) & 1;
}

/* ------------------------------------------------------------------------------- the context */

global int reads_context(struct __sk_buff *ctx)
{
	return ctx->len;
}

SEC("tc") __accept
int context(struct __sk_buff *ctx)
{
	return reads_context(ctx) & 1;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int context_is_null(struct __sk_buff *ctx)
{
	struct __sk_buff *null = NULL;

	barrier_var(null);
	return reads_context(null) & 1;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int context_is_stack(struct __sk_buff *ctx)
{
	__u64 fake[32] = {};

	return reads_context((void *)fake) & 1;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int context_moved(struct __sk_buff *ctx)
{
	return reads_context((void *)ctx + 8) & 1;
}

/* Another program type has another context. */
SEC("xdp") __reject("Caller passes invalid args into func#1")
int context_of_other_type(struct xdp_md *ctx)
{
	return reads_context((void *)ctx) & 1;
}

global int tagged_context(void *ctx __arg_ctx)
{
	struct __sk_buff *skb = ctx;

	return skb->len;
}

SEC("tc") __accept
int context_tagged(struct __sk_buff *ctx)
{
	return tagged_context(ctx) & 1;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int context_tagged_is_stack(struct __sk_buff *ctx)
{
	__u64 fake[32] = {};

	return tagged_context(fake) & 1;
}

global int untagged_context(void *ctx)
{
	return 0;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int context_untagged(struct __sk_buff *ctx)
{
	return untagged_context(ctx) & 1;
}

global int context_and_memory(struct __sk_buff *ctx, struct pair *p __arg_nonnull, __u32 n)
{
	return ctx->len + p->left + n;
}

SEC("tc") __accept
int context_memory_scalar(struct __sk_buff *ctx)
{
	struct pair p = { 1, 2 };

	return context_and_memory(ctx, &p, 3) & 1;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int context_memory_swapped(struct __sk_buff *ctx)
{
	struct pair p = { 1, 2 };

	return context_and_memory((void *)&p, (void *)ctx, 3) & 1;
}

/* --------------------------------------------------------------------------- what cannot be */

global int takes_double_pointer(struct pair **p)
{
	return 0;
}

SEC("tc") __accept
int argument_pointer_to_pointer(struct __sk_buff *ctx)
{
	struct pair *p = NULL;

	return takes_double_pointer(&p);
}

global struct pair *returns_pointer(int n)
{
	return (struct pair *)a_value();
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int pointer_returned(struct __sk_buff *ctx)
{
	return returns_pointer(1) ? 1 : 0;
}

struct incomplete;

global int takes_incomplete(struct incomplete *p)
{
	return 0;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int argument_of_unknown_size(struct __sk_buff *ctx)
{
	__u64 n = 0;

	return takes_incomplete((void *)&n);
}

global int loses_reference(int n)
{
	struct box *b = bpf_obj_new(struct box);

	return b ? 1 : 0;
}

SEC("tc") __reject("Unreleased reference")
int reference_lost_in_callee(struct __sk_buff *ctx)
{
	return loses_reference(1);
}

global int keeps_no_reference(int n)
{
	struct box *b = bpf_obj_new(struct box);

	if (b)
		bpf_obj_drop(b);
	return 0;
}

SEC("tc") __accept
int reference_dropped_in_callee(struct __sk_buff *ctx)
{
	return keeps_no_reference(1);
}

SEC("tc") __accept
int reference_held_over_call(struct __sk_buff *ctx)
{
	struct box *b = bpf_obj_new(struct box);

	if (!b)
		return 0;
	plus_one(1);
	b->size = 1;
	bpf_obj_drop(b);
	return 0;
}

global int takes_box(struct box *b)
{
	return b ? b->size : 0;
}

SEC("tc") __accept
int owned_object_passed(struct __sk_buff *ctx)
{
	struct box *b = bpf_obj_new(struct box);

	if (!b)
		return 0;
	takes_box(b);
	bpf_obj_drop(b);
	return 0;
}

global int drops_box(struct box *b __arg_nonnull)
{
	bpf_obj_drop(b);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int owned_object_left_to_callee(struct __sk_buff *ctx)
{
	struct box *b = bpf_obj_new(struct box);

	if (!b)
		return 0;
	return drops_box(b);
}

global int empties_box(int n)
{
	__u32 key = n;
	struct boxed *v = bpf_map_lookup_elem(&boxes, &key);
	struct box *b;

	if (!v)
		return 0;
	b = bpf_kptr_xchg(&v->box, NULL);
	if (b)
		bpf_obj_drop(b);
	return 0;
}

SEC("tc") __accept
int kptr_taken_in_callee(struct __sk_buff *ctx)
{
	return empties_box(ctx->len);
}

global int locks(int n)
{
	bpf_spin_lock(&lock_a);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int lock_within_callee(struct __sk_buff *ctx)
{
	return locks(1);
}

global int locks_only(int n)
{
	bpf_spin_lock(&lock_a);
	return 0;
}

SEC("tc") __reject("bpf_spin_unlock without taking a lock")
int lock_left_by_callee(struct __sk_buff *ctx)
{
	locks_only(1);
	bpf_spin_unlock(&lock_a);
	return 0;
}

global int recurses(int n)
{
	if (n)
		n = recurses(n - 1) * 3;
	return n ^ 5;
}

SEC("tc") __reject("the call stack of 8 frames is too deep !")
int recursion(struct __sk_buff *ctx)
{
	return recurses(3);
}

#define frame(kind, n, next) \
	kind __noinline int frame_##n(int x) { x += next * 3; barrier_var(x); return x; }
frame(static, 8, bpf_get_prandom_u32())
frame(static, 7, frame_8(x))
frame(static, 6, frame_7(x))
frame(static, 5, frame_6(x))
frame(, 4, frame_5(x))
frame(static, 3, frame_4(x))
frame(static, 2, frame_3(x))
frame(static, 1, frame_2(x))

SEC("tc") __accept
int eight_frames_through_global(struct __sk_buff *ctx)
{
	return frame_2(1) & 1;
}

/* No walk has so many: those of a global function begin anew. */
SEC("tc") __reject("the call stack of 8 frames is too deep !")
int nine_frames_through_global(struct __sk_buff *ctx)
{
	return frame_1(1) & 1;
}

/* A callee that may change packets leaves no pointer into them. */
global int pulls(struct __sk_buff *ctx)
{
	return bpf_skb_pull_data(ctx, 64);
}

SEC("tc") __reject("invalid mem access 'scalar'")
int packet_after_callee_that_pulls(struct __sk_buff *ctx)
{
	volatile __u8 *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if ((void *)data + 1 > end)
		return 0;
	pulls(ctx);
	return data[0];
}

SEC("tc") __accept
int packet_after_callee_that_reads(struct __sk_buff *ctx)
{
	volatile __u8 *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if ((void *)data + 1 > end)
		return 0;
	reads_context(ctx);
	return data[0];
}

/* ------------------------------------------------------------------------------------ stack */

global int deep(int n)
{
	char buf[400];

	use(buf);
	*(volatile char *)buf = n;
	return 0;
}

SEC("tc") __accept
int stack_combined(struct __sk_buff *ctx)
{
	char buf[64];

	use(buf);
	*(volatile char *)buf = 1;
	return deep(1);
}

SEC("tc") __reject("combined stack size of 2 calls is")
int stack_combined_too_deep(struct __sk_buff *ctx)
{
	char buf[128];

	use(buf);
	*(volatile char *)buf = 1;
	return deep(1);
}

/* An enum, a long and a char are scalars too. */
enum colour { RED, GREEN };

global int many_scalars(enum colour c, long l, char ch, unsigned long long u, _Bool b)
{
	return c + l + ch + u + b;
}

SEC("tc") __accept
int scalars_of_all_sizes(struct __sk_buff *ctx)
{
	return many_scalars(GREEN, 1, 'a', 2, 1) & 1;
}

global int takes_struct_in_registers(struct box b)
{
	return b.size;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int struct_by_value(struct __sk_buff *ctx)
{
	struct box b = { ctx->len };

	return takes_struct_in_registers(b) & 1;
}

/* ----------------------------------------------------------------- what they do, and NULL */

__weak int needs_it(__u64 *word __arg_nonnull)
{
	*(volatile __u64 *)word = 1;
	return 0;
}

SEC("tc") __accept
int gives_an_address(struct __sk_buff *ctx)
{
	__u64 word = 0;

	return needs_it(&word);
}

SEC("tc") __reject("is expected to be non-NULL") __kernel_accepts
__reason("the function may use its argument without a check")
int gives_null(struct __sk_buff *ctx)
{
	__u64 result;

	asm volatile("r1 = 0; call needs_it; %0 = r0"
		     : "=r"(result) : : "r0", "r1", "r2", "r3", "r4", "r5", "memory");
	return result;
}

__weak int sleeps(int n)
{
	char bytes[8];

	bpf_copy_from_user(bytes, sizeof(bytes), NULL);
	return n;
}

__weak int calls_who_sleeps(int n)
{
	return sleeps(n) + 1;
}

SEC("syscall") __accept
int sleeps_outside(void *ctx)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return calls_who_sleeps(1);
}

SEC("syscall") __reject("global functions that may sleep are not allowed")
int sleeps_in_a_section(void *ctx)
{
	bpf_rcu_read_lock();
	sleeps(1);
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __reject("global functions that may sleep are not allowed")
int sleeps_further_down(void *ctx)
{
	bpf_rcu_read_lock();
	calls_who_sleeps(1);
	bpf_rcu_read_unlock();
	return 0;
}

/* ------------------------------------------------------------ a context that was moved */

global int reads_moved(struct __sk_buff *ctx)
{
	return ctx->len;
}

#define moved(p, amount)                                     \
	({                                                   \
		void *___p = (p);                            \
		asm volatile("%0 += %1" : "+r"(___p) : "r"(amount)); \
		___p;                                        \
	})

SEC("tc") __reject("Caller passes invalid args into func#1")
int a_context_moved(struct __sk_buff *ctx)
{
	return reads_moved(moved(ctx, 8L)) & 1;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int a_context_moved_by_a_number(struct __sk_buff *ctx)
{
	return reads_moved(moved(ctx, (long)(ctx->len & 8))) & 1;
}

SEC("tc") __reject("Caller passes invalid args into func#1")
int a_context_moved_there_and_back(struct __sk_buff *ctx)
{
	long by = ctx->len & 8;

	return reads_moved(moved(moved(ctx, by), -by)) & 1;
}

SEC("tc") __accept
int a_context_moved_by_0(struct __sk_buff *ctx)
{
	return reads_moved(moved(ctx, 0L)) & 1;
}
