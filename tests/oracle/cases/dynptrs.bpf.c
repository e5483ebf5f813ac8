/* SPDX-License-Identifier: Apache-2.0 */
/* Dynptrs: set up, used, overwritten, copied, given away, and slices of them. */
#include "dynptrs.h"

const volatile __u8 constants[16] = {1};

struct held {
	struct bpf_spin_lock lock;
	__u64 data[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct held);
} locked SEC(".maps");

/* ---------------------------------------------------------------------- setting them up */

SEC("tc") __accept
int local(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 first = 0;

	bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &ptr);
	bpf_dynptr_read(&first, sizeof(first), &ptr, 0, 0);
	return first;
}

SEC("tc") __reject("Expected an initialized dynptr as arg #2")
int never_set_up(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 first = 0;

	bpf_dynptr_read(&first, sizeof(first), &ptr, 0, 0);
	return first;
}

SEC("tc") __reject("Expected an initialized dynptr as arg #2")
int set_up_on_one_path(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 first = 0;

	if (ctx->len > 100)
		bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &ptr);
	bpf_dynptr_read(&first, sizeof(first), &ptr, 0, 0);
	return first;
}

SEC("tc") __accept
int set_up_on_both_paths(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 first = 0;

	if (ctx->len > 100)
		bpf_dynptr_from_mem(bytes, 8, 0, &ptr);
	else
		bpf_dynptr_from_mem(bytes, 16, 0, &ptr);
	bpf_dynptr_read(&first, sizeof(first), &ptr, 0, 0);
	return first;
}

SEC("tc") __reject("Unsupported reg type fp for bpf_dynptr_from_mem data")
int of_the_stack(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 here = 0;

	bpf_dynptr_from_mem(&here, sizeof(here), 0, &ptr);
	return 0;
}

SEC("tc") __reject("write into map forbidden")
int of_constants(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem((void *)constants, sizeof(constants), 0, &ptr);
	return 0;
}

SEC("tc") __reject("outside of the allowed memory range")
int of_too_much(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u32 key = 0;
	struct entry *entry = bpf_map_lookup_elem(&array, &key);

	if (!entry)
		return 0;
	bpf_dynptr_from_mem(entry, sizeof(*entry) + 1, 0, &ptr);
	return 0;
}

SEC("tc") __reject("R1 type=map_value_or_null")
int of_what_may_be_null(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u32 key = bpf_get_prandom_u32();
	struct entry *entry = bpf_map_lookup_elem(&array, &key);

	bpf_dynptr_from_mem(entry, sizeof(*entry), 0, &ptr);
	return 0;
}

SEC("tc") __reject("bpf_spin_lock cannot be accessed directly by load/store")
int over_a_lock(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u32 key = 0;
	struct held *held = bpf_map_lookup_elem(&locked, &key);

	if (!held)
		return 0;
	bpf_dynptr_from_mem(held, sizeof(*held), 0, &ptr);
	return 0;
}

SEC("tc") __accept
int behind_a_lock(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u32 key = 0;
	struct held *held = bpf_map_lookup_elem(&locked, &key);

	if (!held)
		return 0;
	bpf_dynptr_from_mem(held->data, sizeof(held->data), 0, &ptr);
	return 0;
}

SEC("tc") __reject("R4 type=map_value expected=fp, dynptr_ptr")
int set_up_in_a_map(struct __sk_buff *ctx)
{
	bpf_dynptr_from_mem(bytes, 8, 0, (struct bpf_dynptr *)(bytes + 8));
	return 0;
}

SEC("tc") __reject("Dynptr has to be an uninitialized dynptr")
int misaligned(struct __sk_buff *ctx)
{
	char room[32] __attribute__((aligned(8)));

	bpf_dynptr_from_mem(bytes, 8, 0, (struct bpf_dynptr *)(room + 4));
	return 0;
}

SEC("tc") __accept
int two_in_a_row(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptrs[2];
	__u64 first = 0;

	bpf_dynptr_from_mem(bytes, 8, 0, &ptrs[0]);
	bpf_dynptr_from_mem(bytes, 8, 0, &ptrs[1]);
	bpf_dynptr_read(&first, 8, &ptrs[0], 0, 0);
	return first;
}

SEC("tc") __reject("Expected an initialized dynptr as arg #2")
int across_two(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptrs[2];
	__u64 first = 0;

	bpf_dynptr_from_mem(bytes, 8, 0, &ptrs[0]);
	bpf_dynptr_from_mem(bytes, 8, 0, &ptrs[1]);
	bpf_dynptr_from_mem(bytes, 8, 0, (struct bpf_dynptr *)((void *)ptrs + 8));
	bpf_dynptr_read(&first, 8, &ptrs[0], 0, 0);
	return first;
}

/* -------------------------------------------------------------- reading and overwriting */

SEC("tc") __reject("invalid read from stack")
int looked_into(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(bytes, 8, 0, &ptr);
	return *(volatile __u32 *)((void *)&ptr + 8);
}

SEC("tc") __reject("invalid read from stack")
int given_as_a_key(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(bytes, 8, 0, &ptr);
	return bpf_map_lookup_elem(&array, &ptr) != 0;
}

SEC("tc") __reject("potential write to dynptr at off=-16 disallowed")
int given_as_a_buffer(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(bytes, 8, 0, &ptr);
	bpf_skb_load_bytes(ctx, 0, &ptr, 8);
	return 0;
}

SEC("tc") __reject("potential write to dynptr")
int read_over_itself(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(bytes, 8, 0, &ptr);
	bpf_dynptr_read(&ptr, 16, &ptr, 0, 0);
	return 0;
}

SEC("tc") __accept
int overwritten_and_set_up_anew(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 first = 0;

	bpf_dynptr_from_mem(bytes, 8, 0, &ptr);
	*(volatile __u8 *)&ptr = 1;
	bpf_dynptr_from_mem(bytes, 8, 0, &ptr);
	bpf_dynptr_read(&first, 8, &ptr, 0, 0);
	return first;
}

SEC("tc") __reject("Expected an initialized dynptr as arg #2")
int overwritten_in_part(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 first = 0;

	bpf_dynptr_from_mem(bytes, 8, 0, &ptr);
	*((volatile __u8 *)&ptr + 15) = 1;
	bpf_dynptr_read(&first, 8, &ptr, 0, 0);
	return first;
}

SEC("tc") __reject("Expected an initialized dynptr as arg #2")
int overwritten_somewhere(struct __sk_buff *ctx)
{
	struct {
		__u8 room[16];
		struct bpf_dynptr ptr;
	} all = {};
	__u64 first = 0;

	bpf_dynptr_from_mem(bytes, 8, 0, &all.ptr);
	*((volatile __u8 *)&all + (ctx->len & 31)) = 1;
	bpf_dynptr_read(&first, 8, &all.ptr, 0, 0);
	return first;
}

SEC("tc") __accept
int written_beside_it(struct __sk_buff *ctx)
{
	struct {
		__u8 room[16];
		struct bpf_dynptr ptr;
	} all = {};
	__u64 first = 0;

	bpf_dynptr_from_mem(bytes, 8, 0, &all.ptr);
	*((volatile __u8 *)&all + (ctx->len & 15)) = 1;
	bpf_dynptr_read(&first, 8, &all.ptr, 0, 0);
	return first;
}

/* --------------------------------------------------------------------------- references */

SEC("tc") __accept
int record(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 value = 7;

	bpf_ringbuf_reserve_dynptr(&records, ctx->len, 0, &ptr);
	bpf_dynptr_write(&ptr, 0, &value, sizeof(value), 0);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int record_kept(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_ringbuf_reserve_dynptr(&records, 8, 0, &ptr);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int record_kept_if_there_is_none(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	if (bpf_ringbuf_reserve_dynptr(&records, 8, 0, &ptr))
		return 0;
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return 0;
}

SEC("tc") __accept
int record_discarded_if_there_is_none(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	if (bpf_ringbuf_reserve_dynptr(&records, 8, 0, &ptr)) {
		bpf_ringbuf_discard_dynptr(&ptr, 0);
		return 0;
	}
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return 0;
}

SEC("tc") __reject("arg 1 is an unacquired reference")
int submitted_twice(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_ringbuf_reserve_dynptr(&records, 8, 0, &ptr);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return 0;
}

SEC("tc") __reject("arg 1 is an unacquired reference")
int local_submitted(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(bytes, 8, 0, &ptr);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return 0;
}

SEC("tc") __reject("R1 type=fp expected=ringbuf_mem")
int submitted_as_a_record(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_ringbuf_reserve_dynptr(&records, 8, 0, &ptr);
	bpf_ringbuf_submit(&ptr, 0);
	return 0;
}

SEC("tc") __reject("cannot overwrite referenced dynptr")
int record_overwritten(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_ringbuf_reserve_dynptr(&records, 8, 0, &ptr);
	*(volatile __u64 *)&ptr = 0;
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return 0;
}

SEC("tc") __reject("cannot overwrite referenced dynptr")
int record_reserved_over_another(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_ringbuf_reserve_dynptr(&records, 8, 0, &ptr);
	bpf_ringbuf_reserve_dynptr(&records, 8, 0, &ptr);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return 0;
}

SEC("tc") __reject("cannot overwrite referenced dynptr")
int iterator_over_a_record(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_ringbuf_reserve_dynptr(&records, 8, 0, &ptr);
	bpf_iter_num_new((struct bpf_iter_num *)&ptr, 0, 3);
	bpf_iter_num_destroy((struct bpf_iter_num *)&ptr);
	return 0;
}

SEC("tc") __accept
int iterator_over_a_local_one(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(bytes, 8, 0, &ptr);
	bpf_iter_num_new((struct bpf_iter_num *)&ptr, 0, 3);
	bpf_iter_num_destroy((struct bpf_iter_num *)&ptr);
	return 0;
}

static __noinline void reserve(struct bpf_dynptr *ptr)
{
	bpf_ringbuf_reserve_dynptr(&records, 8, 0, ptr);
}

static __noinline void submit(struct bpf_dynptr *ptr)
{
	bpf_ringbuf_submit_dynptr(ptr, 0);
}

SEC("tc") __accept
int in_functions(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	reserve(&ptr);
	submit(&ptr);
	return 0;
}

SEC("tc") __reject("arg 1 is an unacquired reference")
int submitted_in_a_function(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	reserve(&ptr);
	submit(&ptr);
	submit(&ptr);
	return 0;
}

static int turn(__u32 index, void *ctx)
{
	__u8 value = index;

	bpf_dynptr_write(ctx, index, &value, 1, 0);
	return 0;
}

SEC("tc") __accept
int in_callbacks(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_ringbuf_reserve_dynptr(&records, 8, 0, &ptr);
	bpf_loop(8, turn, &ptr, 0);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return 0;
}

static int last_turn(__u32 index, void *ctx)
{
	bpf_ringbuf_submit_dynptr(ctx, 0);
	return 1;
}

SEC("tc") __reject("arg 1 is an unacquired reference")
int submitted_in_callbacks(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_ringbuf_reserve_dynptr(&records, 8, 0, &ptr);
	bpf_loop(8, last_turn, &ptr, 0);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return 0;
}

/* -------------------------------------------------------------------------------- slices */

SEC("tc") __accept
int slice(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 *slice;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &ptr);
	slice = bpf_dynptr_data(&ptr, 8, 8);
	if (slice)
		*slice = 1;
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return 0;
}

SEC("tc") __reject("invalid mem access 'mem_or_null'")
int slice_that_may_be_null(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 *slice;

	bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &ptr);
	slice = bpf_dynptr_data(&ptr, 8, 8);
	*slice = 1;
	return 0;
}

SEC("tc") __reject("outside of the allowed memory range")
int behind_a_slice(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 *slice;

	bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &ptr);
	slice = bpf_dynptr_data(&ptr, 8, 8);
	if (slice)
		slice[1] = 1;
	return 0;
}

SEC("tc") __reject("R3 is not a known constant")
int slice_of_any_length(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &ptr);
	bpf_dynptr_data(&ptr, 0, length);
	return 0;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int slice_of_a_record_that_is_gone(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 *slice;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &ptr);
	slice = bpf_dynptr_data(&ptr, 8, 8);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	if (slice)
		*slice = 1;
	return 0;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int slice_in_the_stack(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 *volatile slice;
	__u64 *found;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &ptr);
	slice = bpf_dynptr_data(&ptr, 8, 8);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	found = slice;
	if (found)
		*found = 1;
	return 0;
}

SEC("tc") __reject("R1 type=mem expected=ringbuf_mem")
int slice_submitted(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	void *slice;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &ptr);
	slice = bpf_dynptr_data(&ptr, 0, 16);
	if (slice)
		bpf_ringbuf_submit(slice, 0);
	else
		bpf_ringbuf_discard_dynptr(&ptr, 0);
	return 0;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int slice_of_one_overwritten(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 *slice;

	bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &ptr);
	slice = bpf_dynptr_data(&ptr, 8, 8);
	if (!slice)
		return 0;
	bpf_dynptr_from_mem(bytes, 8, 0, &ptr);
	*slice = 1;
	return 0;
}

SEC("tc") __accept
int slice_of_another(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr, other;
	__u64 *slice;

	bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &ptr);
	slice = bpf_dynptr_data(&ptr, 8, 8);
	if (!slice)
		return 0;
	bpf_dynptr_from_mem(bytes, 8, 0, &other);
	*slice = 1;
	return bpf_dynptr_size(&other);
}

SEC("tc") __accept
int slice_with_a_buffer(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u8 buffer[14];
	__u8 *slice;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice(&ptr, 0, buffer, sizeof(buffer));
	return slice ? slice[13] : 0;
}

SEC("tc") __reject("outside of the allowed memory range")
int behind_a_slice_with_a_buffer(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u8 buffer[14];
	__u8 *slice;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice(&ptr, 0, buffer, sizeof(buffer));
	return slice ? slice[14] : 0;
}

SEC("tc") __reject("memory, len pair leads to invalid memory access")
int slice_with_a_short_buffer(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u8 buffer[8] __attribute__((aligned(8)));

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	return bpf_dynptr_slice(&ptr, 0, buffer, 600) != 0;
}

SEC("tc") __reject("must be a known constant")
int slice_of_any_size(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u8 buffer[64];

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	return bpf_dynptr_slice(&ptr, 0, buffer, length & 63) != 0;
}

SEC("tc") __reject("R0 cannot write into rdonly_mem")
int slice_written(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u8 *slice;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice(&ptr, 0, 0, 14);
	if (slice)
		slice[0] = 1;
	return 0;
}

SEC("tc") __accept
int slice_for_writing(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u8 *slice;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice_rdwr(&ptr, 0, 0, 14);
	if (slice)
		slice[0] = 1;
	return 0;
}

SEC("cgroup_skb/egress") __reject("the prog does not allow writes to packet data")
int slice_for_writing_what_is_read_only(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 1;
	return bpf_dynptr_slice_rdwr(&ptr, 0, 0, 14) != 0;
}

SEC("cgroup_skb/egress") __accept
int slice_of_what_is_read_only(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 1;
	return bpf_dynptr_slice(&ptr, 0, 0, 14) != 0;
}

/* ------------------------------------------------------------------------------- packets */

SEC("tc") __reject("invalid mem access 'scalar'")
int slice_before_a_write(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 value = 0;
	__u8 *slice;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice(&ptr, 0, 0, 14);
	if (!slice)
		return 0;
	bpf_dynptr_write(&ptr, 0, &value, sizeof(value), 0);
	return slice[0];
}

SEC("tc") __accept
int slice_before_a_write_elsewhere(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr, other;
	__u64 value = 0;
	__u8 *slice;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &other);
	slice = bpf_dynptr_slice(&ptr, 0, 0, 14);
	if (!slice)
		return 0;
	bpf_dynptr_write(&other, 0, &value, sizeof(value), 0);
	return slice[0];
}

SEC("tc") __reject("invalid mem access 'scalar'")
int packet_before_a_write(struct __sk_buff *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	struct bpf_dynptr ptr;
	__u64 value = 0;

	if (data + 14 > (__u8 *)(long)ctx->data_end)
		return 0;
	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	bpf_dynptr_write(&ptr, 0, &value, sizeof(value), 0);
	return data[0];
}

SEC("tc") __reject("invalid mem access 'scalar'")
int slice_of_a_packet_that_moved(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u8 *slice;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice(&ptr, 0, 0, 14);
	if (!slice)
		return 0;
	bpf_skb_pull_data(ctx, 20);
	return slice[0];
}

SEC("xdp") __reject("invalid mem access 'scalar'")
int slice_of_a_frame_that_moved(struct xdp_md *ctx)
{
	struct bpf_dynptr ptr;
	__u8 *slice;

	if (bpf_dynptr_from_xdp(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice(&ptr, 0, 0, 14);
	if (!slice)
		return 0;
	bpf_xdp_adjust_head(ctx, 4);
	return slice[0] & 1;
}

SEC("xdp") __accept
int slice_of_a_frame_before_a_write(struct xdp_md *ctx)
{
	struct bpf_dynptr ptr;
	__u64 value = 0;
	__u8 *slice;

	if (bpf_dynptr_from_xdp(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice(&ptr, 0, 0, 14);
	if (!slice)
		return 0;
	bpf_dynptr_write(&ptr, 0, &value, sizeof(value), 0);
	return slice[0] & 1;
}

SEC("tc") __accept
int slice_of_metadata(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u32 *slice;

	if (bpf_dynptr_from_skb_meta(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice_rdwr(&ptr, 0, 0, 4);
	if (slice)
		*slice = 1;
	return 0;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int slice_of_metadata_before_a_write(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u32 *slice, value = 0;

	if (bpf_dynptr_from_skb_meta(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice(&ptr, 0, 0, 4);
	if (!slice)
		return 0;
	bpf_dynptr_write(&ptr, 0, &value, sizeof(value), 0);
	return *slice;
}

SEC("xdp") __reject("calling kernel function bpf_dynptr_from_skb is not allowed")
int of_a_packet_elsewhere(struct xdp_md *ctx)
{
	struct bpf_dynptr ptr;

	return bpf_dynptr_from_skb((void *)ctx, 0, &ptr);
}

SEC("cgroup_skb/egress") __reject("calling kernel function bpf_dynptr_from_skb_meta is not allowed")
int of_metadata_elsewhere(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	return bpf_dynptr_from_skb_meta(ctx, 0, &ptr) != 0;
}

SEC("tc") __reject("expected pointer to ctx")
int of_no_context(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	return bpf_dynptr_from_skb((void *)bytes, 0, &ptr);
}

/* -------------------------------------------------------------------------------- copies */

SEC("tc") __accept
int copies(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr, copy;
	__u64 first = 0;

	bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &ptr);
	bpf_dynptr_clone(&ptr, &copy);
	bpf_dynptr_adjust(&copy, 8, 16);
	bpf_dynptr_read(&first, 8, &copy, 0, 0);
	return first + bpf_dynptr_size(&ptr);
}

SEC("tc") __reject("Expected an initialized dynptr as arg #0")
int copy_of_nothing(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr, copy;

	return bpf_dynptr_clone(&ptr, &copy);
}

SEC("tc") __accept
int copy_submitted(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr, copy;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &ptr);
	bpf_dynptr_clone(&ptr, &copy);
	bpf_ringbuf_submit_dynptr(&copy, 0);
	return 0;
}

SEC("tc") __reject("Expected an initialized dynptr as arg #0")
int copy_of_what_is_gone(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr, copy;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &ptr);
	bpf_dynptr_clone(&ptr, &copy);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return bpf_dynptr_size(&copy);
}

SEC("tc") __reject("invalid mem access 'scalar'")
int slice_of_a_copy_of_what_is_gone(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr, copy;
	__u64 *slice;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &ptr);
	bpf_dynptr_clone(&ptr, &copy);
	slice = bpf_dynptr_data(&copy, 0, 8);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return slice ? *slice : 0;
}

SEC("tc") __accept
int copied_over_itself(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &ptr);
	bpf_dynptr_clone(&ptr, &ptr);
	return bpf_dynptr_size(&ptr);
}

SEC("tc") __reject("cannot overwrite referenced dynptr")
int record_copied_over_itself(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &ptr);
	bpf_dynptr_clone(&ptr, &ptr);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return 0;
}

SEC("tc") __accept
int bytes_copied(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr, other;

	bpf_dynptr_from_mem(bytes, 32, 0, &ptr);
	bpf_dynptr_from_mem(bytes + 32, 32, 0, &other);
	bpf_dynptr_memset(&ptr, 0, 32, 7);
	return bpf_dynptr_copy(&other, 0, &ptr, 0, 32);
}

SEC("tc") __reject("arg#2 expected pointer to stack or const struct bpf_dynptr")
int bytes_copied_from_no_dynptr(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(bytes, 32, 0, &ptr);
	return bpf_dynptr_copy(&ptr, 0, (struct bpf_dynptr *)bytes, 0, 32);
}

SEC("syscall") __accept
int from_user_space(void *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(bytes, 32, 0, &ptr);
	return bpf_copy_from_user_dynptr(&ptr, 0, 8, ctx);
}

SEC("tc") __reject("program must be sleepable to call sleepable kfunc bpf_copy_from_user_dynptr")
int from_user_space_without_sleep(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(bytes, 32, 0, &ptr);
	return bpf_copy_from_user_dynptr(&ptr, 0, 8, ctx);
}

/* -------------------------------------------------------------------- global functions */

__noinline int first_of(struct bpf_dynptr *ptr)
{
	__u8 first = 0;

	bpf_dynptr_read(&first, 1, ptr, 0, 0);
	return first;
}

SEC("tc") __accept
int given_to_a_global_function(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	int first;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &ptr);
	first = first_of(&ptr);
	bpf_ringbuf_discard_dynptr(&ptr, 0);
	return first;
}

SEC("tc") __reject("Expected an initialized dynptr as arg #0")
int none_given_to_a_global_function(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	return first_of(&ptr);
}

SEC("tc") __reject("arg#0 expected pointer to stack or const struct bpf_dynptr")
int context_given_to_a_global_function(struct __sk_buff *ctx)
{
	return first_of((struct bpf_dynptr *)bytes);
}

__noinline int submits(struct bpf_dynptr *ptr)
{
	bpf_ringbuf_submit_dynptr(ptr, 0);
	return 0;
}

SEC("tc") __reject("cannot release unowned const bpf_dynptr")
int submitted_in_a_global_function(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &ptr);
	submits(&ptr);
	bpf_ringbuf_discard_dynptr(&ptr, 0);
	return 0;
}

__noinline int moves_it(struct bpf_dynptr *ptr)
{
	return bpf_dynptr_size((void *)ptr + 8);
}

SEC("tc") __reject("dereference of modified dynptr_ptr ptr R1 off=8 disallowed")
int moved_in_a_global_function(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(bytes, 32, 0, &ptr);
	return moves_it(&ptr);
}

__noinline int looks_into_it(struct bpf_dynptr *ptr)
{
	return *(volatile __u32 *)ptr;
}

SEC("tc") __reject("invalid mem access 'dynptr_ptr'")
int looked_into_in_a_global_function(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(bytes, 32, 0, &ptr);
	return looks_into_it(&ptr);
}

__noinline int sets_it_up(struct bpf_dynptr *ptr)
{
	return bpf_dynptr_from_mem(bytes, 8, 0, ptr);
}

SEC("tc") __reject("Dynptr has to be an uninitialized dynptr")
int set_up_in_a_global_function(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(bytes, 32, 0, &ptr);
	return sets_it_up(&ptr);
}

/* ------------------------------------------------------------------- where paths meet */

SEC("tc") __accept
int copied_on_one_path(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr, other;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &ptr);
	if (ctx->len > 100)
		bpf_dynptr_from_mem(bytes, 8, 0, &other);
	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &other);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	bpf_ringbuf_submit_dynptr(&other, 0);
	return 0;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int slice_of_either(struct __sk_buff *ctx)
{
	struct bpf_dynptr one, two;
	__u64 *slice, sum = 0;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &one);
	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &two);
	if (ctx->len > 100)
		slice = bpf_dynptr_data(&one, 0, 8);
	else
		slice = bpf_dynptr_data(&two, 0, 8);
	bpf_ringbuf_submit_dynptr(&one, 0);
	if (slice)
		sum = *slice;
	bpf_ringbuf_submit_dynptr(&two, 0);
	return sum;
}

SEC("tc") __accept
int slice_of_either_in_time(struct __sk_buff *ctx)
{
	struct bpf_dynptr one, two;
	__u64 *slice, sum = 0;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &one);
	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &two);
	if (ctx->len > 100)
		slice = bpf_dynptr_data(&one, 0, 8);
	else
		slice = bpf_dynptr_data(&two, 0, 8);
	if (slice)
		sum = *slice;
	bpf_ringbuf_submit_dynptr(&one, 0);
	bpf_ringbuf_submit_dynptr(&two, 0);
	return sum;
}

SEC("tc") __reject("arg 1 is an unacquired reference")
int either_kind(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	if (ctx->len > 100)
		bpf_ringbuf_reserve_dynptr(&records, 16, 0, &ptr);
	else
		bpf_dynptr_from_mem(bytes, 8, 0, &ptr);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return 0;
}

SEC("tc") __accept
int in_a_loop(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 value = 0;
	int i;

	bpf_for(i, 0, 100) {
		bpf_ringbuf_reserve_dynptr(&records, 8, 0, &ptr);
		bpf_dynptr_write(&ptr, 0, &value, sizeof(value), 0);
		bpf_ringbuf_submit_dynptr(&ptr, 0);
	}
	return 0;
}

SEC("tc") __reject("reference leak")
int in_a_loop_and_kept(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	int i;

	bpf_dynptr_from_mem(bytes, 8, 0, &ptr);
	bpf_for(i, 0, 100)
		bpf_ringbuf_reserve_dynptr(&records, 8, 0, &ptr);
	return 0;
}
