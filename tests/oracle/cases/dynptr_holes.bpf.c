/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Linux 6.18 accepts of dynptrs although it is not safe, each beside a program that is. To be
 * loaded only, never run: they break the kernel's memory.
 */
#include "dynptrs.h"

static __noinline int uses_a_copy(struct bpf_dynptr *ptr)
{
	struct bpf_dynptr copy;
	__u64 value = 0;

	bpf_dynptr_clone(ptr, &copy);
	bpf_ringbuf_submit_dynptr(ptr, 0);
	bpf_dynptr_read(&value, sizeof(value), &copy, 0, 0);
	return value;
}

SEC("tc") __reject("Expected an initialized dynptr as arg #2") __kernel_accepts
__reason("a copy in another function leads to a record that is gone")
int copy_in_another_function(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &ptr);
	return uses_a_copy(&ptr);
}

SEC("tc") __reject("invalid mem access 'scalar'") __kernel_accepts
__reason("what bpf_dynptr_slice gives of a record stays when that goes")
int slice_of_a_record(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 *slice;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &ptr);
	slice = bpf_dynptr_slice_rdwr(&ptr, 0, 0, 8);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	if (slice)
		*slice = 1;
	return 0;
}

SEC("tc") __accept
int slice_of_a_record_in_time(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 *slice;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &ptr);
	slice = bpf_dynptr_slice_rdwr(&ptr, 0, 0, 8);
	if (slice)
		*slice = 1;
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return 0;
}

static __noinline __u64 *slice_of(struct bpf_dynptr *ptr)
{
	__u64 buffer[2];

	return bpf_dynptr_slice_rdwr(ptr, 0, buffer, sizeof(buffer));
}

SEC("tc") __reject("invalid mem access 'scalar'") __kernel_accepts
__reason("the buffer is gone with the function whose variable it is")
int buffer_of_a_function_that_returned(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 *slice;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	slice = slice_of(&ptr);
	if (slice)
		*slice = 1;
	return 0;
}

static __noinline __u64 *slice_in(struct bpf_dynptr *ptr, __u64 *buffer)
{
	return bpf_dynptr_slice_rdwr(ptr, 0, buffer, 16);
}

SEC("tc") __accept
int buffer_of_the_caller(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 buffer[2];
	__u64 *slice;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	slice = slice_in(&ptr, buffer);
	if (slice)
		*slice = 1;
	return 0;
}

SEC("tc") __reject("invalid mem access 'scalar'") __kernel_accepts
__reason("a store through the slice changes what was put where the buffer was")
int buffer_used_for_a_pointer(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 buffer[1];
	__u64 *slice, *spilled;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice_rdwr(&ptr, 0, buffer, sizeof(buffer));
	if (!slice)
		return 0;
	buffer[0] = (__u64)&bytes[0];
	use(buffer);
	*slice = 8;
	spilled = (__u64 *)*(volatile __u64 *)buffer;
	*spilled = 1;
	return 0;
}

SEC("tc") __accept
int buffer_used_for_a_pointer_after_the_store(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 buffer[1];
	__u64 *slice, *spilled;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice_rdwr(&ptr, 0, buffer, sizeof(buffer));
	if (!slice)
		return 0;
	*slice = 8;
	buffer[0] = (__u64)&bytes[0];
	use(buffer);
	spilled = (__u64 *)*(volatile __u64 *)buffer;
	*spilled = 1;
	return 0;
}

SEC("tc") __reject("potential write to dynptr at off=-16 disallowed") __kernel_accepts
__reason("a store through the slice changes the dynptr that is where the buffer was")
int buffer_used_for_a_dynptr(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr, other;
	__u64 *slice;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice_rdwr(&ptr, 0, &other, sizeof(other));
	if (!slice)
		return 0;
	bpf_dynptr_from_mem(bytes, 8, 0, &other);
	*slice = 8;
	return bpf_dynptr_size(&other);
}

SEC("tc") __reject("invalid mem access 'scalar'") __kernel_accepts
__reason("the slice may be a copy in a record that is gone")
int buffer_in_a_record(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 *slice, *record;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	record = bpf_ringbuf_reserve(&records, 8, 0);
	if (!record)
		return 0;
	slice = bpf_dynptr_slice_rdwr(&ptr, 0, record, 8);
	bpf_ringbuf_submit(record, 0);
	if (slice)
		*slice = 1;
	return 0;
}

#define MOVED(name, write) \
SEC("tc") __reject("invalid mem access 'scalar'") __kernel_accepts \
__reason("the packet may be moved before it is written") \
int name(struct __sk_buff *ctx) \
{ \
	struct bpf_dynptr ptr, other; \
	__u64 *slice; \
 \
	if (bpf_dynptr_from_skb(ctx, 0, &ptr)) \
		return 0; \
	bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &other); \
	slice = bpf_dynptr_slice(&ptr, 0, 0, 8); \
	write; \
	return slice ? *slice : 0; \
}

MOVED(packet_filled, bpf_dynptr_memset(&ptr, 0, 8, 0))
MOVED(packet_copied_to, bpf_dynptr_copy(&ptr, 0, &other, 0, 8))
MOVED(packet_read_into, bpf_probe_read_kernel_dynptr(&ptr, 0, 8, (void *)8))

SEC("tc") __accept
int packet_copied_from(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr, other;
	__u64 *slice;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &other);
	slice = bpf_dynptr_slice(&ptr, 0, 0, 8);
	bpf_dynptr_copy(&other, 0, &ptr, 0, 8);
	return slice ? *slice : 0;
}

SEC("tc") __reject("helper access to the packet is not allowed") __kernel_accepts
__reason("the packet may be moved before the slice is read")
int packet_stored_from_a_slice(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 *slice;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice(&ptr, 0, 0, 8);
	if (slice)
		bpf_skb_store_bytes(ctx, 8, slice, 8, 0);
	return 0;
}

SEC("tc") __reject("helper access to the packet is not allowed") __kernel_accepts
__reason("the packet may be moved before the slice is read")
int packet_written_from_a_slice(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 *slice;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice(&ptr, 0, 0, 8);
	if (slice)
		bpf_dynptr_write(&ptr, 8, slice, 8, 0);
	return 0;
}

SEC("tc") __accept
int element_written_from_data(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	struct entry *slice;
	__u32 key = 0;

	bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &ptr);
	slice = bpf_dynptr_data(&ptr, 0, sizeof(*slice));
	if (slice)
		bpf_map_update_elem(&array, &key, slice, 0);
	return 0;
}

SEC("tc") __reject("R3 type=mem expected=fp, pkt")
int element_written_from_a_slice(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	struct entry *slice;
	__u32 key = 0;

	bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &ptr);
	slice = bpf_dynptr_slice_rdwr(&ptr, 0, 0, sizeof(*slice));
	if (slice)
		bpf_map_update_elem(&array, &key, slice, 0);
	return 0;
}

SEC("tc") __reject("R3 type=rdonly_mem expected=fp, pkt")
int element_written_from_a_slice_for_reading(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	struct entry *slice;
	__u32 key = 0;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice(&ptr, 0, 0, sizeof(*slice));
	if (slice)
		bpf_map_update_elem(&array, &key, slice, 0);
	return 0;
}

__noinline int global_write(struct bpf_dynptr *ptr)
{
	__u64 value = 0;

	return bpf_dynptr_write(ptr, 0, &value, sizeof(value), 0);
}

SEC("tc") __reject("invalid mem access 'scalar'") __kernel_accepts
__reason("a global function writes the packet, and may move it")
int written_in_a_global_function(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 *slice;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice(&ptr, 0, 0, 8);
	global_write(&ptr);
	return slice ? *slice : 0;
}

SEC("xdp") __accept
int frame_written_in_a_global_function(struct xdp_md *ctx)
{
	struct bpf_dynptr ptr;
	__u64 *slice;

	if (bpf_dynptr_from_xdp(ctx, 0, &ptr))
		return 0;
	slice = bpf_dynptr_slice(&ptr, 0, 0, 8);
	global_write(&ptr);
	return slice ? *slice & 1 : 0;
}

__noinline int global_slice(struct bpf_dynptr *ptr)
{
	__u64 value = 0, *slice = bpf_dynptr_slice(ptr, 0, 0, 8);

	bpf_dynptr_write(ptr, 0, &value, sizeof(value), 0);
	return slice ? *slice : 0;
}

SEC("tc") __reject("invalid mem access 'scalar'") __kernel_accepts
__reason("in a global function a packet is taken for a value of a map")
int packet_in_a_global_function(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	return global_slice(&ptr);
}

SEC("tc") __accept
int value_in_a_global_function(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &ptr);
	return global_slice(&ptr);
}

__noinline int global_move(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 value = 0;

	if (bpf_dynptr_from_skb(ctx, 0, &ptr))
		return 0;
	return bpf_dynptr_write(&ptr, 0, &value, sizeof(value), 0);
}

SEC("tc") __reject("invalid mem access 'scalar'") __kernel_accepts
__reason("a global function writes the packet, and may move it")
int packet_before_a_global_function(struct __sk_buff *ctx)
{
	__u8 *data = (void *)(long)ctx->data;

	if (data + 14 > (__u8 *)(long)ctx->data_end)
		return 0;
	global_move(ctx);
	return data[0];
}

SEC("tc") __reject("misaligned access") __kernel_accepts
__reason("a slice may begin at any address, which not all processors take")
int atomic_at_an_odd_address(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 *slice;

	bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &ptr);
	slice = bpf_dynptr_data(&ptr, 3, 8);
	if (slice)
		__sync_fetch_and_add(slice, 1);
	return 0;
}

SEC("tc") __accept
int atomic_at_an_even_address(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;
	__u64 *slice;

	bpf_dynptr_from_mem(bytes, sizeof(bytes), 0, &ptr);
	slice = bpf_dynptr_data(&ptr, 8, 8);
	if (slice)
		__sync_fetch_and_add(slice, 1);
	return 0;
}
