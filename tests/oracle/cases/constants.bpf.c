/* SPDX-License-Identifier: Apache-2.0 */
/* Constants of .rodata: nobody can change them, so their values are known, and branches are dead. */
#include "oracle.h"

struct big {
	__u8 bytes[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct big);
} values SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

const volatile __u32 limit = 4;
const volatile __u32 table[4] = { 1, 2, 3, 60 };
const volatile __s8 minus_one = -1;
const volatile __u16 wide = 0x0140;
const volatile __u64 whole = 63;
const volatile _Bool enabled;
volatile __u32 changeable = 4;

static __always_inline struct big *a_value(void)
{
	__u32 key = bpf_get_prandom_u32();

	return bpf_map_lookup_elem(&values, &key);
}

#define CONSTANT(name, verdict, index)             \
	SEC("tc") verdict int name(struct __sk_buff *ctx) \
	{                                          \
		struct big *v = a_value();         \
                                                   \
		return v ? v->bytes[index] & 1 : 0; \
	}

CONSTANT(element, __accept, table[3])
CONSTANT(element_too_far, __reject("invalid access to map value"), table[3] + 4)
CONSTANT(element_of_any_index, __reject("unbounded memory access"), table[ctx->len & 3])
CONSTANT(signed_byte, __accept, 64 + minus_one)
CONSTANT(signed_byte_before, __reject("invalid access to map value"), minus_one)
CONSTANT(low_byte, __reject("invalid access to map value"), *(volatile __u8 *)&wide)
CONSTANT(high_byte, __accept, *((volatile __u8 *)&wide + 1))
CONSTANT(half_word, __reject("invalid access to map value"), wide)
CONSTANT(eight_bytes, __accept, whole)
CONSTANT(eight_bytes_too_far, __reject("invalid access to map value"), whole + 1)
CONSTANT(variable, __reject("unbounded memory access"), changeable)
CONSTANT(sum_of_constants, __accept, table[0] + table[1] + table[2])

SEC("tc") __accept
int bound(struct __sk_buff *ctx)
{
	struct big *v = a_value();
	__u32 sum = 0;

	if (!v)
		return 0;
	for (__u32 i = 0; i < limit; i++)
		sum += v->bytes[i];
	return sum & 1;
}

SEC("tc") __reject("unbounded memory access")
int bound_that_may_change(struct __sk_buff *ctx)
{
	struct big *v = a_value();
	__u32 i = ctx->len;

	if (!v || i >= changeable)
		return 0;
	return v->bytes[i] & 1;
}

SEC("tc") __accept
int dead_branch(struct __sk_buff *ctx)
{
	struct big *v = a_value();

	if (enabled)
		return v->bytes[100];
	return 0;
}

SEC("tc") __reject("invalid mem access")
int live_branch(struct __sk_buff *ctx)
{
	struct big *v = a_value();

	if (!enabled)
		return v->bytes[0];
	return 0;
}

SEC("tc") __accept
int size_of_a_record(struct __sk_buff *ctx)
{
	__u8 *p = bpf_ringbuf_reserve(&ring, whole + 1, 0);

	if (!p)
		return 0;
	p[63] = 1;
	bpf_ringbuf_submit(p, 0);
	return 0;
}

SEC("tc") __reject("invalid access to memory")
int size_of_a_record_too_small(struct __sk_buff *ctx)
{
	__u8 *p = bpf_ringbuf_reserve(&ring, whole, 0);

	if (!p)
		return 0;
	p[63] = 1;
	bpf_ringbuf_submit(p, 0);
	return 0;
}

SEC("tc") __reject("write into map forbidden")
int written(struct __sk_buff *ctx)
{
	*(volatile __u32 *)&limit = 5;
	return 0;
}
