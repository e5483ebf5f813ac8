/* SPDX-License-Identifier: Apache-2.0 */
/* Records of ring buffers, from reserve to submit or discard. */
#include "oracle.h"

struct event {
	__u64 time;
	__u32 len;
	__u8 data[20];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} spare SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u64);
	__type(value, struct event);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct event);
} array SEC(".maps");

private(A) struct bpf_spin_lock lock_a;

#define reserve() ((struct event *)bpf_ringbuf_reserve(&ring, sizeof(struct event), 0))

SEC("tc") __accept
int submit(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	e->time = bpf_ktime_get_ns();
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __accept
int discard(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	bpf_ringbuf_discard(e, 0);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int neither(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	e->time = bpf_ktime_get_ns();
	return 0;
}

SEC("tc") __reject("type=scalar expected=ringbuf_mem")
int both(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	bpf_ringbuf_submit(e, 0);
	bpf_ringbuf_discard(e, 0);
	return 0;
}

SEC("tc") __accept
int one_or_the_other(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	if (ctx->len > 100)
		bpf_ringbuf_submit(e, 0);
	else
		bpf_ringbuf_discard(e, BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int one_or_neither(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	if (ctx->len > 100)
		bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __reject("invalid mem access 'ringbuf_mem_or_null'")
int written_unchecked(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	*(volatile __u64 *)&e->time = 1;
	if (e)
		bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __reject("type=ringbuf_mem_or_null expected=ringbuf_mem")
int submit_unchecked(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int written_after_submit(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	bpf_ringbuf_submit(e, 0);
	*(volatile __u64 *)&e->time = 1;
	return 0;
}

SEC("tc") __accept
int written_at_end(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	*((volatile __u8 *)e + sizeof(*e) - 1) = 1;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int written_past_end(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	*((volatile __u8 *)e + sizeof(*e)) = 1;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int written_before_start(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	*((volatile __u8 *)e - 1) = 1;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int written_past_end_of_smaller_record(struct __sk_buff *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&ring, 8, 0);

	if (!e)
		return 0;
	*(volatile __u32 *)&e->len = 1;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __accept
int written_at_masked_index(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	e->data[ctx->len & 15] = 1;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __reject("max value is outside of the allowed memory range")
int written_at_masked_index_too_wide(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	e->data[ctx->len & 31] = 1;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __reject("must have zero offset when passed to release func or trusted")
int submit_moved_pointer(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	bpf_ringbuf_submit(&e->len, 0);
	return 0;
}

SEC("tc") __reject("type=map_value expected=ringbuf_mem")
int submit_map_value(struct __sk_buff *ctx)
{
	__u32 key = bpf_get_prandom_u32();
	void *v = bpf_map_lookup_elem(&array, &key);

	if (v)
		bpf_ringbuf_submit(v, 0);
	return 0;
}

SEC("tc") __reject("type=fp expected=ringbuf_mem")
int submit_stack(struct __sk_buff *ctx)
{
	struct event e = {};

	bpf_ringbuf_submit(&e, 0);
	return 0;
}

SEC("tc") __reject("is not a known constant")
int reserve_unknown_size(struct __sk_buff *ctx)
{
	void *e = bpf_ringbuf_reserve(&ring, ctx->len, 0);

	if (e)
		bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __reject("is not a known constant")
int reserve_bounded_size(struct __sk_buff *ctx)
{
	void *e = bpf_ringbuf_reserve(&ring, (ctx->len & 15) + 1, 0);

	if (e)
		bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __accept
int reserve_size_known_on_each_path(struct __sk_buff *ctx)
{
	void *e;

	if (ctx->len > 100)
		e = bpf_ringbuf_reserve(&ring, 8, 0);
	else
		e = bpf_ringbuf_reserve(&ring, 16, 0);
	if (e)
		bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __reject("cannot pass map_type 2 into func bpf_ringbuf_reserve#131")
int reserve_of_an_array(struct __sk_buff *ctx)
{
	void *e = bpf_ringbuf_reserve(&array, 8, 0);

	if (e)
		bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __accept
int two_records(struct __sk_buff *ctx)
{
	struct event *e = reserve(), *f;

	if (!e)
		return 0;
	f = bpf_ringbuf_reserve(&spare, sizeof(*f), 0);
	if (f)
		bpf_ringbuf_submit(f, 0);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int two_records_one_lost(struct __sk_buff *ctx)
{
	struct event *e = reserve(), *f;

	if (!e)
		return 0;
	f = bpf_ringbuf_reserve(&spare, sizeof(*f), 0);
	if (!f)
		return 0;
	bpf_ringbuf_submit(f, 0);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __accept
int record_as_key(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	e->time = 1;
	bpf_map_lookup_elem(&hash, e);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __accept
int record_as_value(struct __sk_buff *ctx)
{
	struct event *e = reserve();
	__u64 key = 0;

	if (!e)
		return 0;
	bpf_map_update_elem(&hash, &key, e, BPF_ANY);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int record_too_short_as_value(struct __sk_buff *ctx)
{
	struct event *e = bpf_ringbuf_reserve(&ring, 24, 0);
	__u64 key = 0;

	if (!e)
		return 0;
	bpf_map_update_elem(&hash, &key, e, BPF_ANY);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __accept
int record_filled_by_helper(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	bpf_skb_load_bytes(ctx, 0, e->data, sizeof(e->data));
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int record_overfilled_by_helper(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	bpf_skb_load_bytes(ctx, 0, e->data, sizeof(e->data) + 1);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __accept
int output(struct __sk_buff *ctx)
{
	struct event e = { .time = 1 };

	bpf_ringbuf_output(&ring, &e, sizeof(e), 0);
	return 0;
}

SEC("tc") __reject("invalid read from stack")
int output_too_much(struct __sk_buff *ctx)
{
	__u64 word = 1;

	bpf_ringbuf_output(&ring, &word, 16, 0);
	return 0;
}

SEC("tc") __accept
int output_of_a_record(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	bpf_ringbuf_output(&spare, e, sizeof(*e), 0);
	bpf_ringbuf_discard(e, 0);
	return 0;
}

SEC("tc") __accept
int query(struct __sk_buff *ctx)
{
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) & 1;
}

SEC("tc") __reject("cannot pass map_type 2 into func bpf_ringbuf_query#134")
int query_of_an_array(struct __sk_buff *ctx)
{
	return bpf_ringbuf_query(&array, BPF_RB_AVAIL_DATA) & 1;
}

SEC("tc") __reject("function calls are not allowed while holding a lock")
int reserve_under_lock(struct __sk_buff *ctx)
{
	struct event *e;

	bpf_spin_lock(&lock_a);
	e = reserve();
	bpf_spin_unlock(&lock_a);
	if (e)
		bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __accept
int record_written_under_lock(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	bpf_spin_lock(&lock_a);
	e->len = 1;
	bpf_spin_unlock(&lock_a);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

static __noinline void fills(struct event *e)
{
	e->time = 1;
	bpf_ringbuf_submit(e, 0);
}

SEC("tc") __accept
int submitted_by_callee(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (e)
		fills(e);
	return 0;
}

SEC("tc") __reject("type=scalar expected=ringbuf_mem")
int submitted_by_callee_and_caller(struct __sk_buff *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	fills(e);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc") __accept
int record_in_loop(struct __sk_buff *ctx)
{
	int i;

	bpf_for(i, 0, 10) {
		struct event *e = reserve();

		if (!e)
			break;
		e->len = i;
		bpf_ringbuf_submit(e, 0);
	}
	return 0;
}

SEC("tc") __reject("invalid zero-sized read")
int lookup_in_ring(struct __sk_buff *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&ring, &key) ? 1 : 0;
}

SEC("syscall") __accept
int from_syscall(void *ctx)
{
	struct event *e = reserve();

	if (e)
		bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("raw_tp/sys_enter") __accept
int from_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	struct event *e = reserve();

	if (!e)
		return 0;
	e->time = ctx->args[1];
	bpf_ringbuf_submit(e, 0);
	return 0;
}
