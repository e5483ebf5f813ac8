/* SPDX-License-Identifier: Apache-2.0 */
/* Static functions: verified anew at each call, with all that the caller knows. */
#include "oracle.h"

struct value {
	__u64 count;
	__u8 bytes[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct value);
} values SEC(".maps");

__u32 limit;

static __always_inline struct value *a_value(void)
{
	__u32 key = bpf_get_prandom_u32();

	return bpf_map_lookup_elem(&values, &key);
}

static __noinline int reads_at(struct value *v, __u32 at)
{
	return *(volatile __u8 *)&v->bytes[at];
}

SEC("tc") __accept
int index_checked_by_caller(struct __sk_buff *ctx)
{
	struct value *v = a_value();
	__u32 n = limit;

	barrier_var(n);
	return v && n < 16 ? reads_at(v, n) : 0;
}

SEC("tc") __reject("unbounded memory access, make sure to bounds check any such")
int index_unchecked(struct __sk_buff *ctx)
{
	struct value *v = a_value();
	__u32 n = limit;

	barrier_var(n);
	return v ? reads_at(v, n) : 0;
}

/* Two calls, of which one is fine. */
SEC("tc") __reject("unbounded memory access, make sure to bounds check any such")
int index_checked_in_one_call_only(struct __sk_buff *ctx)
{
	struct value *v = a_value();
	__u32 n = limit;
	int sum;

	barrier_var(n);
	if (!v)
		return 0;
	sum = reads_at(v, 3);
	return sum + reads_at(v, n);
}

SEC("tc") __accept
int index_checked_in_both_calls(struct __sk_buff *ctx)
{
	struct value *v = a_value();
	__u32 n = limit;
	int sum;

	barrier_var(n);
	if (!v)
		return 0;
	sum = reads_at(v, 3);
	return sum + reads_at(v, n & 15);
}

static __noinline struct value *looks_up(__u32 n)
{
	__u32 key = n;

	return bpf_map_lookup_elem(&values, &key);
}

SEC("tc") __accept
int returned_pointer_checked(struct __sk_buff *ctx)
{
	struct value *v = looks_up(ctx->len);

	if (v)
		v->count = 1;
	return 0;
}

SEC("tc") __reject("invalid mem access 'map_value_or_null'")
int returned_pointer_unchecked(struct __sk_buff *ctx)
{
	struct value *v = looks_up(ctx->len);

	v->count = 1;
	return 0;
}

static __noinline int checked_in_callee(struct value *v)
{
	if (!v)
		return 0;
	v->count = 1;
	return 1;
}

SEC("tc") __accept
int pointer_checked_by_callee(struct __sk_buff *ctx)
{
	return checked_in_callee(a_value());
}

/* What the callee found out of the value, the caller's own pointer learns too. */
SEC("tc") __accept
int pointer_checked_by_callee_used_by_caller(struct __sk_buff *ctx)
{
	struct value *v = a_value();

	if (checked_in_callee(v))
		v->count = 2;
	return 0;
}

static __noinline void sets(__u32 *out, __u32 n)
{
	*(volatile __u32 *)out = n;
}

SEC("tc") __accept
int stack_of_caller_written(struct __sk_buff *ctx)
{
	struct value *v = a_value();
	__u32 at = limit;

	if (!v)
		return 0;
	sets(&at, 3);
	return v->bytes[*(volatile __u32 *)&at];
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int stack_of_caller_written_too_far(struct __sk_buff *ctx)
{
	struct value *v = a_value();
	__u32 at = limit;

	if (!v)
		return 0;
	sets(&at, 16);
	return v->bytes[*(volatile __u32 *)&at];
}

static __noinline __u64 *own_frame(void)
{
	volatile __u64 own = 1;
	volatile __u64 *p = &own;

	barrier_var(p);
	return (__u64 *)p;
}

SEC("tc") __reject("cannot return stack pointer to the caller")
int frame_returned(struct __sk_buff *ctx)
{
	return own_frame() ? 1 : 0;
}

static __noinline __u64 *same(__u64 *p)
{
	barrier_var(p);
	return p;
}

/* Not even the caller's own. */
SEC("tc") __reject("cannot return stack pointer to the caller")
int frame_of_caller_returned(struct __sk_buff *ctx)
{
	__u64 own = 1;

	return *(volatile __u64 *)same(&own) & 1;
}

static __noinline int writes_next(__u64 *p)
{
	*(volatile __u64 *)(p + 1) = 0;
	return 0;
}

SEC("tc") __accept
int stack_of_caller_in_bounds(struct __sk_buff *ctx)
{
	__u64 a[2] = {};

	writes_next(&a[0]);
	return a[1] & 1;
}

SEC("tc") __reject("invalid write to stack")
int stack_of_caller_out_of_bounds(struct __sk_buff *ctx)
{
	__u64 a[2] = {};

	writes_next(&a[1]);
	return a[1] & 1;
}

static __noinline struct value *same_value(struct value *v)
{
	barrier_var(v);
	return v;
}

SEC("tc") __accept
int value_of_caller_returned(struct __sk_buff *ctx)
{
	struct value *v = a_value();

	if (!v)
		return 0;
	return *(volatile __u64 *)&same_value(v)->count & 1;
}

static __noinline int reads_context(struct __sk_buff *ctx)
{
	return ctx->len & 1;
}

SEC("tc") __accept
int context_passed(struct __sk_buff *ctx)
{
	return reads_context(ctx);
}

/* Where a static function is given the stack for a context, it reads the stack. */
SEC("tc") __accept
int stack_passed_as_context(struct __sk_buff *ctx)
{
	__u64 fake[2] = { 1 };

	use(fake);
	return reads_context((void *)fake);
}

SEC("tc") __reject("invalid mem access 'scalar'")
int number_passed_as_context(struct __sk_buff *ctx)
{
	struct __sk_buff *fake = (void *)4096;

	barrier_var(fake);
	return reads_context(fake);
}

static __noinline int depth_5(int n) { char b[64]; use(b); *(volatile char *)b = n; return n; }
static __noinline int depth_4(int n) { char b[64]; use(b); *(volatile char *)b = n; return depth_5(n) + 1; }
static __noinline int depth_3(int n) { char b[64]; use(b); *(volatile char *)b = n; return depth_4(n) + 1; }
static __noinline int depth_2(int n) { char b[64]; use(b); *(volatile char *)b = n; return depth_3(n) + 1; }
static __noinline int depth_1(int n) { char b[64]; use(b); *(volatile char *)b = n; return depth_2(n) + 1; }

SEC("tc") __accept
int stack_of_chain(struct __sk_buff *ctx)
{
	char b[128];

	use(b);
	*(volatile char *)b = 1;
	return depth_1(1) & 1;
}

SEC("tc") __reject("combined stack size of")
int stack_of_chain_too_deep(struct __sk_buff *ctx)
{
	char b[224];

	use(b);
	*(volatile char *)b = 1;
	return depth_1(1) & 1;
}

#define frame(n, next) \
	static __noinline int frame_##n(int x) { x = next * 3; barrier_var(x); return x; }
frame(8, bpf_get_prandom_u32())
frame(7, frame_8(x))
frame(6, frame_7(x))
frame(5, frame_6(x))
frame(4, frame_5(x))
frame(3, frame_4(x))
frame(2, frame_3(x))
frame(1, frame_2(x))

SEC("tc") __accept
int eight_frames(struct __sk_buff *ctx)
{
	return frame_2(1) & 1;
}

SEC("tc") __reject("the call stack of 9 frames is too deep")
int nine_frames(struct __sk_buff *ctx)
{
	return frame_1(1) & 1;
}

static __noinline int returns_small(int n)
{
	n = bpf_get_prandom_u32() & 7;
	barrier_var(n);
	return n;
}

SEC("tc") __accept
int returned_range_known(struct __sk_buff *ctx)
{
	struct value *v = a_value();

	return v ? v->bytes[returns_small(0)] : 0;
}

static __noinline int returns_wide(int n)
{
	n = bpf_get_prandom_u32() & 31;
	barrier_var(n);
	return n;
}

SEC("tc") __reject("max value is outside of the allowed memory range")
int returned_range_too_wide(struct __sk_buff *ctx)
{
	struct value *v = a_value();

	return v ? v->bytes[returns_wide(0)] : 0;
}

static __noinline int never_returns_null_deref(struct value *v, int safe)
{
	if (safe)
		return 0;
	return *(volatile __u64 *)&v->count;
}

/* The branch that would go wrong is dead for this caller. */
SEC("tc") __accept
int bad_branch_dead_for_caller(struct __sk_buff *ctx)
{
	int safe = 1;

	barrier_var(safe);
	return never_returns_null_deref(a_value(), safe) & 1;
}

SEC("tc") __reject("invalid mem access 'map_value_or_null'")
int bad_branch_live_for_caller(struct __sk_buff *ctx)
{
	int safe = ctx->len;

	barrier_var(safe);
	return never_returns_null_deref(a_value(), safe) & 1;
}

static __noinline int in_loop(struct value *v, int i)
{
	return *(volatile __u8 *)&v->bytes[i];
}

SEC("tc") __accept
int called_in_loop(struct __sk_buff *ctx)
{
	struct value *v = a_value();
	int sum = 0;

	if (!v)
		return 0;
	for (int i = 0; i < 16; i++) {
		barrier_var(i);
		sum += in_loop(v, i);
	}
	return sum & 1;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int called_in_loop_once_too_often(struct __sk_buff *ctx)
{
	struct value *v = a_value();
	int sum = 0;

	if (!v)
		return 0;
	for (int i = 0; i < 17; i++) {
		barrier_var(i);
		sum += in_loop(v, i);
	}
	return sum & 1;
}
