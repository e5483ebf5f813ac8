/* SPDX-License-Identifier: Apache-2.0 */
/* Mistakes with dynptrs. */
#include "mistakes.h"

extern void *bpf_dynptr_slice(const struct bpf_dynptr *p, __u64 offset, void *buffer,
			      __u64 size) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} commands SEC(".maps");

__u64 numbers[4];

SEC("tc")
int record_kept(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;

	if (bpf_ringbuf_reserve_dynptr(&records, skb->len, 0, &ptr))
		return 0;
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return 0;
}

SEC("tc")
int slice_used_later(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;
	__u64 *slice;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &ptr);
	slice = bpf_dynptr_data(&ptr, 0, 8);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return slice ? *slice : 0;
}

SEC("tc")
int slice_unchecked(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;
	__u64 *slice;

	bpf_dynptr_from_mem(numbers, sizeof(numbers), 0, &ptr);
	slice = bpf_dynptr_data(&ptr, 0, 8);
	return *slice;
}

SEC("tc")
int set_up_on_one_path(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;
	__u64 first = 0;

	if (skb->len > 100)
		bpf_dynptr_from_mem(numbers, sizeof(numbers), 0, &ptr);
	bpf_dynptr_read(&first, sizeof(first), &ptr, 0, 0);
	return first;
}

SEC("tc")
int record_overwritten(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;

	bpf_ringbuf_reserve_dynptr(&records, 16, 0, &ptr);
	bpf_dynptr_from_mem(numbers, sizeof(numbers), 0, &ptr);
	return 0;
}

SEC("tc")
int local_variable(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;
	__u64 here = 0;

	bpf_dynptr_from_mem(&here, sizeof(here), 0, &ptr);
	return 0;
}

SEC("tc")
int looked_into(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;

	bpf_dynptr_from_mem(numbers, sizeof(numbers), 0, &ptr);
	return *(volatile __u32 *)((void *)&ptr + 8);
}

static long discards(const struct bpf_dynptr *command, void *ctx)
{
	bpf_ringbuf_discard_dynptr((struct bpf_dynptr *)command, 0);
	return 0;
}

SEC("tc")
int command_discarded(struct __sk_buff *skb)
{
	bpf_user_ringbuf_drain(&commands, discards, NULL, 0);
	return 0;
}
