/* SPDX-License-Identifier: Apache-2.0 */
/* Loops that end when their time is up: cond_break. */
#include "oracle.h"

struct box {
	__u64 size;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8[16]);
} bytes SEC(".maps");

private(A) struct bpf_spin_lock lock_a;

__u32 limit;
__u64 total;

SEC("tc") __accept
int endless(struct __sk_buff *ctx)
{
	for (;;) {
		barrier();
		cond_break;
	}
	return 0;
}

SEC("tc") __reject("infinite loop detected")
int endless_without(struct __sk_buff *ctx)
{
	__u32 len = ctx->len;

	for (;;) {
		barrier_var(len);
		if (len == 7)
			break;
	}
	return 0;
}

SEC("tc") __accept
int counted_far(struct __sk_buff *ctx)
{
	__u64 sum = 0;

	for (__u64 i = limit; i != 10000000; i++) {
		barrier_var(i);
		sum += i;
		cond_break;
	}
	return sum & 1;
}

SEC("tc") __reject("The sequence of 8193 jumps is too complex")
int counted_far_without(struct __sk_buff *ctx)
{
	__u64 sum = 0;

	for (__u64 i = limit; i != 10000000; i++) {
		barrier_var(i);
		sum += i;
	}
	return sum & 1;
}

SEC("tc") __accept
int unknown_bound(struct __sk_buff *ctx)
{
	__u64 sum = 0;

	for (__u32 i = 0; i < limit; i++) {
		barrier_var(i);
		sum += i;
		cond_break;
	}
	return sum & 1;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int index_unchecked(struct __sk_buff *ctx)
{
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	for (__u32 i = 0; i < limit; i++) {
		barrier_var(i);
		v[i] = 0;
		cond_break;
	}
	return 0;
}

SEC("tc") __accept
int index_checked(struct __sk_buff *ctx)
{
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	for (__u32 i = 0; i < limit; i++) {
		barrier_var(i);
		if (i >= 16)
			break;
		v[i] = 0;
		cond_break;
	}
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int index_checked_one_too_far(struct __sk_buff *ctx)
{
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	for (__u32 i = 0; i < limit; i++) {
		barrier_var(i);
		if (i > 16)
			break;
		v[i] = 0;
		cond_break;
	}
	return 0;
}

/* After the loop anything is known that holds after no turn or after many. */
SEC("tc") __reject("unbounded memory access")
int index_after_loop(struct __sk_buff *ctx)
{
	__u32 key = 0, at = limit;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	for (;;) {
		at++;
		barrier_var(at);
		cond_break;
	}
	return v[at];
}

SEC("tc") __accept
int index_after_loop_checked(struct __sk_buff *ctx)
{
	__u32 key = 0, at = limit;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	for (;;) {
		at++;
		barrier_var(at);
		cond_break;
	}
	return at < 16 ? v[at] : 0;
}

SEC("tc") __accept
int reference_within(struct __sk_buff *ctx)
{
	for (;;) {
		struct box *b = bpf_obj_new(struct box);

		if (b)
			bpf_obj_drop(b);
		cond_break;
	}
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int reference_within_lost(struct __sk_buff *ctx)
{
	for (;;) {
		struct box *b = bpf_obj_new(struct box);

		cond_break;
		if (b)
			bpf_obj_drop(b);
	}
	return 0;
}

SEC("tc") __accept
int lock_within(struct __sk_buff *ctx)
{
	for (;;) {
		bpf_spin_lock(&lock_a);
		total++;
		bpf_spin_unlock(&lock_a);
		cond_break;
	}
	return 0;
}

SEC("tc") __reject("BPF_EXIT instruction in main prog cannot be used inside")
int lock_within_lost(struct __sk_buff *ctx)
{
	for (;;) {
		bpf_spin_lock(&lock_a);
		total++;
		cond_break;
		bpf_spin_unlock(&lock_a);
	}
	return 0;
}

SEC("tc") __accept
int nested(struct __sk_buff *ctx)
{
	for (;;) {
		for (;;) {
			total++;
			cond_break;
		}
		cond_break;
	}
	return 0;
}

static __noinline int spins(void)
{
	int n = 0;

	for (;;) {
		n++;
		barrier_var(n);
		cond_break;
	}
	return n;
}

SEC("tc") __accept
int in_callee(struct __sk_buff *ctx)
{
	return spins() & 1;
}

static int callback(__u32 i, void *ctx)
{
	for (;;) {
		total++;
		cond_break;
	}
	return 0;
}

SEC("tc") __accept
int in_callback(struct __sk_buff *ctx)
{
	bpf_loop(10, callback, NULL, 0);
	return 0;
}

SEC("tc") __accept
int within_bpf_for(struct __sk_buff *ctx)
{
	int i;

	bpf_for(i, 0, 10)
		for (;;) {
			total++;
			cond_break;
		}
	return 0;
}

/* The pointer is fine in the first turn only. */
SEC("tc") __reject("min value is outside of the allowed memory range")
int pointer_moves(struct __sk_buff *ctx)
{
	__u32 key = 0;
	volatile __u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	for (;;) {
		*v = 0;
		v++;
		cond_break;
	}
	return 0;
}

SEC("tc") __accept
int pointer_stays(struct __sk_buff *ctx)
{
	__u32 key = 0;
	volatile __u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	for (;;) {
		*v = 0;
		cond_break;
	}
	return 0;
}

/* Two counted loops of a hundred turns, the inner of which is cut short. */
SEC("tc") __accept
int inner_counted(struct __sk_buff *ctx)
{
	__u64 sum = 0;

	for (int i = 0; i < 100; i++) {
		barrier_var(i);
		for (int j = 0; j < 100; j++) {
			barrier_var(j);
			sum += j;
			cond_break;
		}
	}
	return sum & 1;
}

SEC("tc") __accept
int no_loop(struct __sk_buff *ctx)
{
	do {
		cond_break;
		total++;
	} while (0);
	return 0;
}

/* The slot that counts takes 8 bytes of the stack, and a program has 512. */
SEC("tc") __accept
int stack_of_504(struct __sk_buff *ctx)
{
	char buf[504];

	use(buf);
	*(volatile char *)buf = 1;
	return 0;
}
