/* SPDX-License-Identifier: Apache-2.0 */
/* bpf_tail_call: alone, from functions, and with something still held. */
#include "oracle.h"

struct box {
	__u64 size;
};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} programs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} array SEC(".maps");

private(A) struct bpf_spin_lock lock_a;
__u64 total;

SEC("tc") __accept
int constant_index(struct __sk_buff *ctx)
{
	bpf_tail_call(ctx, &programs, 0);
	return 0;
}

SEC("tc") __accept
int unknown_index(struct __sk_buff *ctx)
{
	bpf_tail_call(ctx, &programs, ctx->len);
	return 0;
}

/* An index that is too high fails at run time. */
SEC("tc") __accept
int index_too_high(struct __sk_buff *ctx)
{
	bpf_tail_call(ctx, &programs, 100);
	return 0;
}

SEC("tc") __reject("expected prog array map for tail call")
int other_kind_of_map(struct __sk_buff *ctx)
{
	bpf_tail_call(ctx, &array, 0);
	return 0;
}

SEC("tc") __reject("cannot pass map_type 3 into func bpf_map_lookup_elem#1")
int lookup_of_a_program(struct __sk_buff *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&programs, &key) ? 1 : 0;
}

SEC("tc") __accept
int lookup_of_a_value(struct __sk_buff *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&array, &key) ? 1 : 0;
}

SEC("tc") __reject("type=fp expected=ctx")
int stack_for_context(struct __sk_buff *ctx)
{
	__u64 fake[4] = {};

	bpf_tail_call(fake, &programs, 0);
	return 0;
}

SEC("tc") __reject("dereference of modified ctx ptr")
int moved_context(struct __sk_buff *ctx)
{
	bpf_tail_call((void *)ctx + 8, &programs, 0);
	return 0;
}

SEC("tc") __reject("type=scalar expected=map_ptr")
int map_is_null(struct __sk_buff *ctx)
{
	void *none = NULL;

	barrier_var(none);
	bpf_tail_call(ctx, none, 0);
	return 0;
}

SEC("tc") __reject("tail_call would lead to reference leak")
int reference_held(struct __sk_buff *ctx)
{
	struct box *b = bpf_obj_new(struct box);

	if (!b)
		return 0;
	bpf_tail_call(ctx, &programs, 0);
	bpf_obj_drop(b);
	return 0;
}

SEC("tc") __accept
int reference_dropped(struct __sk_buff *ctx)
{
	struct box *b = bpf_obj_new(struct box);

	if (!b)
		return 0;
	bpf_obj_drop(b);
	bpf_tail_call(ctx, &programs, 0);
	return 0;
}

SEC("tc") __reject("tail_call would lead to reference leak")
int reference_maybe_null_held(struct __sk_buff *ctx)
{
	struct box *b = bpf_obj_new(struct box);

	bpf_tail_call(ctx, &programs, 0);
	if (b)
		bpf_obj_drop(b);
	return 0;
}

SEC("tc") __reject("function calls are not allowed while holding a lock")
int lock_held(struct __sk_buff *ctx)
{
	bpf_spin_lock(&lock_a);
	bpf_tail_call(ctx, &programs, 0);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int lock_released(struct __sk_buff *ctx)
{
	bpf_spin_lock(&lock_a);
	bpf_spin_unlock(&lock_a);
	bpf_tail_call(ctx, &programs, 0);
	return 0;
}

SEC("tc") __reject("tail_call cannot be used inside bpf_rcu_read_lock-ed region")
int rcu_section_open(struct __sk_buff *ctx)
{
	bpf_rcu_read_lock();
	bpf_tail_call(ctx, &programs, 0);
	bpf_rcu_read_unlock();
	return 0;
}

SEC("tc") __accept
int rcu_section_closed(struct __sk_buff *ctx)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	bpf_tail_call(ctx, &programs, 0);
	return 0;
}

SEC("tc") __reject("tail_call would lead to reference leak")
int iterator_open(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_new(&it, 0, 10);
	bpf_tail_call(ctx, &programs, 0);
	bpf_iter_num_destroy(&it);
	return 0;
}

static __noinline int jumps(struct __sk_buff *ctx)
{
	bpf_tail_call(ctx, &programs, 0);
	return 1;
}

SEC("tc") __accept
int from_function(struct __sk_buff *ctx)
{
	return jumps(ctx);
}

/* The program that is jumped to returns to the function's caller, who can drop what it holds. */
SEC("tc") __accept
int from_function_with_reference_held(struct __sk_buff *ctx)
{
	struct box *b = bpf_obj_new(struct box);

	if (!b)
		return 0;
	jumps(ctx);
	bpf_obj_drop(b);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int from_function_with_reference_lost(struct __sk_buff *ctx)
{
	struct box *b = bpf_obj_new(struct box);

	if (!b)
		return 0;
	jumps(ctx);
	return 0;
}

static __noinline int jumps_holding(struct __sk_buff *ctx)
{
	struct box *b = bpf_obj_new(struct box);

	if (!b)
		return 0;
	bpf_tail_call(ctx, &programs, 0);
	bpf_obj_drop(b);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int from_function_that_holds(struct __sk_buff *ctx)
{
	return jumps_holding(ctx);
}

static __noinline int jumps_locked(struct __sk_buff *ctx)
{
	bpf_rcu_read_lock();
	bpf_tail_call(ctx, &programs, 0);
	bpf_rcu_read_unlock();
	return 0;
}

SEC("tc") __reject("tail_call cannot be used inside bpf_rcu_read_lock-ed region")
int from_function_with_section_open(struct __sk_buff *ctx)
{
	return jumps_locked(ctx);
}

/* After a tail call from a function the stack of the caller is limited to 256 bytes. */
SEC("tc") __accept
int from_function_stack_of_200(struct __sk_buff *ctx)
{
	char buf[200];

	use(buf);
	*(volatile char *)buf = 1;
	return jumps(ctx);
}

SEC("tc") __reject("tail_calls are not allowed when call stack of previous frames")
int from_function_stack_of_300(struct __sk_buff *ctx)
{
	char buf[300];

	use(buf);
	*(volatile char *)buf = 1;
	return jumps(ctx);
}

/* Where there is no caller, 300 bytes are no trouble. */
SEC("tc") __accept
int direct_stack_of_300(struct __sk_buff *ctx)
{
	char buf[300];

	use(buf);
	*(volatile char *)buf = 1;
	bpf_tail_call(ctx, &programs, 0);
	return 0;
}

__weak __noinline int global_jumps(struct __sk_buff *ctx)
{
	bpf_tail_call(ctx, &programs, 0);
	return 1;
}

SEC("tc") __accept
int from_global_function(struct __sk_buff *ctx)
{
	return global_jumps(ctx) & 1;
}

SEC("tc") __reject("use static function instead")
int from_global_function_with_lock_held(struct __sk_buff *ctx)
{
	bpf_spin_lock(&lock_a);
	global_jumps(ctx);
	bpf_spin_unlock(&lock_a);
	return 0;
}

static int callback_jumps(__u32 i, void *ctx)
{
	bpf_tail_call(*(void **)ctx, &programs, 0);
	return 0;
}

SEC("tc") __reject("verifier bug: callback unexpected regs 1")
int from_callback(struct __sk_buff *ctx)
{
	void *p = ctx;

	bpf_loop(2, callback_jumps, &p, 0);
	return 0;
}

/* Later versions of Linux refuse these, too. */
#define from_callback_only __kernel_accepts __reason("the helper waits for the callback to return")

static __noinline int jumps_once(void *ctx)
{
	bpf_tail_call(ctx, &programs, 0);
	return 0;
}

static __noinline int jumps_further_down(void *ctx)
{
	return jumps_once(ctx);
}

static int callback_calls(__u32 i, void *ctx)
{
	return jumps_once(*(void **)ctx) & 1;
}

static int callback_calls_further_down(__u32 i, void *ctx)
{
	return jumps_further_down(*(void **)ctx) & 1;
}

static int callback_calls_global(__u32 i, void *ctx)
{
	return global_jumps(*(void **)ctx) & 1;
}

static int each_calls(void *map, __u32 *key, __u64 *value, void *ctx)
{
	return jumps_once(*(void **)ctx) & 1;
}

static int callback_does_nothing(__u32 i, void *ctx)
{
	return 0;
}

SEC("tc") __reject("cannot tail call within callback") from_callback_only
int from_function_of_callback(struct __sk_buff *ctx)
{
	void *p = ctx;

	bpf_loop(2, callback_calls, &p, 0);
	return 0;
}

SEC("tc") __reject("cannot tail call within callback") from_callback_only
int from_function_of_callback_further_down(struct __sk_buff *ctx)
{
	void *p = ctx;

	bpf_loop(2, callback_calls_further_down, &p, 0);
	return 0;
}

SEC("tc") __reject("cannot tail call within callback") from_callback_only
int from_global_function_of_callback(struct __sk_buff *ctx)
{
	void *p = ctx;

	bpf_loop(2, callback_calls_global, &p, 0);
	return 0;
}

SEC("tc") __reject("cannot tail call within callback") from_callback_only
int from_function_of_each_callback(struct __sk_buff *ctx)
{
	void *p = ctx;

	bpf_for_each_map_elem(&array, each_calls, &p, 0);
	return 0;
}

SEC("tc") __accept
int beside_a_callback(struct __sk_buff *ctx)
{
	bpf_loop(2, callback_does_nothing, NULL, 0);
	return jumps_once(ctx) & 1;
}

SEC("tc") __accept
int two_tail_calls(struct __sk_buff *ctx)
{
	if (ctx->len > 100)
		bpf_tail_call(ctx, &programs, 0);
	bpf_tail_call(ctx, &programs, 1);
	return 0;
}

SEC("tc") __accept
int in_loop(struct __sk_buff *ctx)
{
	for (int i = 0; i < 4; i++)
		bpf_tail_call(ctx, &programs, i);
	return 0;
}

SEC("xdp") __accept
int from_xdp(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &programs, 0);
	return XDP_PASS;
}

SEC("tc") __accept
int packet_after_failed_tail_call(struct __sk_buff *ctx)
{
	volatile __u8 *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if ((void *)data + 1 > end)
		return 0;
	bpf_tail_call(ctx, &programs, 0);
	return data[0];
}

/* The program that was jumped to may have changed the packet. */
SEC("tc") __reject("invalid mem access 'scalar'")
int packet_after_function_that_jumps(struct __sk_buff *ctx)
{
	volatile __u8 *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if ((void *)data + 1 > end)
		return 0;
	jumps(ctx);
	return data[0];
}
