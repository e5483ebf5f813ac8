/* SPDX-License-Identifier: Apache-2.0 */
/* The ring buffer of user space, and the function that is called for each of its records. */
#include "dynptrs.h"

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} commands SEC(".maps");

struct sums {
	__u64 turns;
	__u64 total;
};

static long adds(const struct bpf_dynptr *record, struct sums *sums)
{
	__u64 value = 0;

	if (bpf_dynptr_read(&value, sizeof(value), record, 0, 0))
		return 1;
	sums->turns++;
	sums->total += value;
	return 0;
}

SEC("tc") __accept
int drained(struct __sk_buff *ctx)
{
	struct sums sums = {};

	bpf_user_ringbuf_drain(&commands, adds, &sums, 0);
	return sums.total;
}

SEC("tc") __reject("cannot pass map_type 27 into func bpf_user_ringbuf_drain#209")
int wrong_map(struct __sk_buff *ctx)
{
	struct sums sums = {};

	bpf_user_ringbuf_drain(&records, adds, &sums, 0);
	return 0;
}

SEC("tc") __reject("cannot pass map_type 31 into func bpf_ringbuf_reserve_dynptr#198")
int reserved_there(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_ringbuf_reserve_dynptr(&commands, 8, 0, &ptr);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	return 0;
}

static long returns_2(const struct bpf_dynptr *record, void *ctx)
{
	return 2;
}

SEC("tc") __reject("At callback return the register R0 has smin=2 smax=2 should have been in [0, 1]")
int wrong_result(struct __sk_buff *ctx)
{
	bpf_user_ringbuf_drain(&commands, returns_2, 0, 0);
	return 0;
}

static long returns_1(const struct bpf_dynptr *record, void *ctx)
{
	return 1;
}

SEC("tc") __accept
int stopped(struct __sk_buff *ctx)
{
	bpf_user_ringbuf_drain(&commands, returns_1, 0, 0);
	return 0;
}

static long reads(const struct bpf_dynptr *record, void *ctx)
{
	return *(volatile __u32 *)record & 1;
}

SEC("tc") __reject("invalid mem access 'dynptr_ptr'")
int looked_into(struct __sk_buff *ctx)
{
	bpf_user_ringbuf_drain(&commands, reads, 0, 0);
	return 0;
}

static long writes(const struct bpf_dynptr *record, void *ctx)
{
	*(volatile __u32 *)record = 0;
	return 0;
}

SEC("tc") __reject("invalid mem access 'dynptr_ptr'")
int written(struct __sk_buff *ctx)
{
	bpf_user_ringbuf_drain(&commands, writes, 0, 0);
	return 0;
}

static long takes_slice(const struct bpf_dynptr *record, void *ctx)
{
	__u32 *slice = bpf_dynptr_data(record, 0, sizeof(*slice));

	return slice ? *slice & 1 : 1;
}

SEC("tc") __accept
int slice(struct __sk_buff *ctx)
{
	bpf_user_ringbuf_drain(&commands, takes_slice, 0, 0);
	return 0;
}

static long takes_slice_unchecked(const struct bpf_dynptr *record, void *ctx)
{
	__u32 *slice = bpf_dynptr_data(record, 0, sizeof(*slice));

	return *slice & 1;
}

SEC("tc") __reject("invalid mem access 'mem_or_null'")
int slice_unchecked(struct __sk_buff *ctx)
{
	bpf_user_ringbuf_drain(&commands, takes_slice_unchecked, 0, 0);
	return 0;
}

static long discards(const struct bpf_dynptr *record, void *ctx)
{
	bpf_ringbuf_discard_dynptr((struct bpf_dynptr *)record, 0);
	return 0;
}

SEC("tc") __reject("cannot release unowned const bpf_dynptr")
int discarded(struct __sk_buff *ctx)
{
	bpf_user_ringbuf_drain(&commands, discards, 0, 0);
	return 0;
}

static long sets_up(const struct bpf_dynptr *record, void *ctx)
{
	bpf_dynptr_from_mem(bytes, 8, 0, (struct bpf_dynptr *)record);
	return 0;
}

SEC("tc") __reject("Dynptr has to be an uninitialized dynptr")
int set_up(struct __sk_buff *ctx)
{
	bpf_user_ringbuf_drain(&commands, sets_up, 0, 0);
	return 0;
}

static long copies(const struct bpf_dynptr *record, void *ctx)
{
	struct bpf_dynptr copy;

	bpf_dynptr_clone(record, &copy);
	return bpf_dynptr_size(&copy) > 8;
}

SEC("tc") __accept
int copied(struct __sk_buff *ctx)
{
	bpf_user_ringbuf_drain(&commands, copies, 0, 0);
	return 0;
}

static long keeps(const struct bpf_dynptr *record, void *ctx)
{
	*(const struct bpf_dynptr *volatile *)ctx = record;
	return 0;
}

SEC("tc") __reject("R1 type=scalar expected=fp, dynptr_ptr")
int kept(struct __sk_buff *ctx)
{
	struct bpf_dynptr *volatile record = 0;
	__u64 value = 0;

	bpf_user_ringbuf_drain(&commands, keeps, (void *)&record, 0);
	bpf_dynptr_write(record, 0, &value, 8, 0);
	return 0;
}

static long reserves(const struct bpf_dynptr *record, void *ctx)
{
	bpf_ringbuf_reserve_dynptr(&records, 8, 0, ctx);
	return 1;
}

SEC("tc") __reject("reference leak")
int reserved_in_the_callback(struct __sk_buff *ctx)
{
	struct bpf_dynptr ptr;

	bpf_user_ringbuf_drain(&commands, reserves, &ptr, 0);
	return 0;
}

static long nested(const struct bpf_dynptr *record, void *ctx)
{
	bpf_user_ringbuf_drain(&commands, returns_1, 0, 0);
	return 0;
}

SEC("tc") __accept
int drained_while_it_is_drained(struct __sk_buff *ctx)
{
	bpf_user_ringbuf_drain(&commands, nested, 0, 0);
	return 0;
}
