/* SPDX-License-Identifier: Apache-2.0 */
/* Plain loops: bounded and not, over arrays in map values, on the stack, in globals. */
#include "oracle.h"

struct table {
	__u32 used;
	__u32 row[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct table);
} tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct table);
} hash SEC(".maps");

__u32 numbers[16];
__u32 limit;
volatile __u64 total;

static __always_inline struct table *a_table(void)
{
	__u32 key = bpf_get_prandom_u32();

	return bpf_map_lookup_elem(&hash, &key);
}

#define rolled _Pragma("clang loop unroll(disable)")

SEC("tc") __accept
int constant_bound(struct __sk_buff *ctx)
{
	rolled for (int i = 0; i < 100; i++)
		total += i;
	return 0;
}

SEC("tc") __accept
int constant_bound_downwards(struct __sk_buff *ctx)
{
	rolled for (int i = 100; i > 0; i--)
		total += i;
	return 0;
}

SEC("tc") __reject("infinite loop detected")
int no_bound(struct __sk_buff *ctx)
{
	__u32 len = ctx->len;

	do {
		total++;
		barrier_var(len);
	} while (len != 3);
	return 0;
}

SEC("tc") __accept
int bound_from_packet_length_capped(struct __sk_buff *ctx)
{
	__u32 n = ctx->len;

	if (n > 50)
		n = 50;
	rolled for (__u32 i = 0; i < n; i++)
		total += i;
	return 0;
}

SEC("tc") __reject("The sequence of 8193 jumps is too complex")
int bound_from_packet_length(struct __sk_buff *ctx)
{
	__u32 n = ctx->len;

	rolled for (__u64 i = limit; i != n; i++)
		barrier_var(i);
	return 0;
}

SEC("tc") __accept
int exit_condition_inside(struct __sk_buff *ctx)
{
	rolled for (int i = 0; i < 100; i++) {
		if (bpf_get_prandom_u32() == i)
			break;
		total += i;
	}
	return 0;
}

SEC("tc") __accept
int rows_all(struct __sk_buff *ctx)
{
	struct table *t = a_table();

	if (!t)
		return 0;
	rolled for (int i = 0; i < 16; i++)
		*(volatile __u32 *)&t->row[i] = i;
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int rows_one_too_many(struct __sk_buff *ctx)
{
	struct table *t = a_table();

	if (!t)
		return 0;
	rolled for (int i = 0; i <= 16; i++)
		*(volatile __u32 *)&t->row[i] = i;
	return 0;
}

SEC("tc") __accept
int rows_used_capped(struct __sk_buff *ctx)
{
	struct table *t = a_table();
	__u32 n;

	if (!t)
		return 0;
	n = t->used;
	if (n > 16)
		return 0;
	rolled for (__u32 i = 0; i < n; i++)
		*(volatile __u32 *)&t->row[i] = i;
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int rows_used_capped_too_high(struct __sk_buff *ctx)
{
	struct table *t = a_table();
	__u32 n;

	if (!t)
		return 0;
	n = t->used;
	if (n > 17)
		return 0;
	rolled for (__u32 i = 0; i < n; i++)
		*(volatile __u32 *)&t->row[i] = i;
	return 0;
}

SEC("tc") __accept
int rows_break_at_end(struct __sk_buff *ctx)
{
	struct table *t = a_table();

	if (!t)
		return 0;
	rolled for (__u32 i = 0; i < 1000; i++) {
		if (i >= 16)
			break;
		*(volatile __u32 *)&t->row[i] = i;
	}
	return 0;
}

SEC("tc") __accept
int rows_step_of_5(struct __sk_buff *ctx)
{
	struct table *t = a_table();

	if (!t)
		return 0;
	rolled for (__u32 i = 0; i < 16; i += 5)
		*(volatile __u32 *)&t->row[i] = i;
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int rows_step_of_5_to_20(struct __sk_buff *ctx)
{
	struct table *t = a_table();

	if (!t)
		return 0;
	rolled for (__u32 i = 0; i != 20; i += 5) {
		barrier_var(i);
		*(volatile __u32 *)&t->row[i + 1] = i;
	}
	return 0;
}

SEC("tc") __accept
int rows_by_pointer(struct __sk_buff *ctx)
{
	struct table *t = a_table();
	volatile __u32 *p;

	if (!t)
		return 0;
	p = t->row;
	rolled for (int i = 0; i < 16; i++)
		*p++ = i;
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int rows_by_pointer_one_too_many(struct __sk_buff *ctx)
{
	struct table *t = a_table();
	volatile __u32 *p;

	if (!t)
		return 0;
	p = t->row;
	rolled for (int i = 0; i < 17; i++)
		*p++ = i;
	return 0;
}

SEC("tc") __accept
int global_numbers(struct __sk_buff *ctx)
{
	rolled for (int i = 0; i < 16; i++)
		*(volatile __u32 *)&numbers[i] = i;
	return 0;
}

SEC("tc") __accept
int global_numbers_bound_in_memory(struct __sk_buff *ctx)
{
	__u32 n = limit;

	if (n > 16)
		return 0;
	rolled for (__u32 i = 0; i < n; i++)
		*(volatile __u32 *)&numbers[i] = i;
	return 0;
}

/* The bound is read anew from memory each turn: what was checked was another number. */
SEC("tc") __reject("min value is outside of the allowed memory range")
int global_numbers_bound_read_anew(struct __sk_buff *ctx)
{
	if (*(volatile __u32 *)&limit > 16)
		return 0;
	rolled for (__u32 i = 0; i < *(volatile __u32 *)&limit; i++)
		*(volatile __u32 *)&numbers[i] = i;
	return 0;
}

SEC("tc") __accept
int stack_filled(struct __sk_buff *ctx)
{
	__u32 local[16];

	rolled for (int i = 0; i < 16; i++)
		*(volatile __u32 *)&local[i] = i;
	return *(volatile __u32 *)&local[ctx->len & 15] & 1;
}

SEC("tc") __reject("invalid write to stack")
int stack_filled_one_too_many(struct __sk_buff *ctx)
{
	__u32 local[16];

	use(local);
	rolled for (int i = 0; i < 17; i++)
		*(volatile __u32 *)(local + i) = i;
	return 0;
}

SEC("tc") __accept
int nested(struct __sk_buff *ctx)
{
	rolled for (int i = 0; i < 20; i++)
		rolled for (int j = 0; j < 20; j++)
			total += i * j;
	return 0;
}

SEC("tc") __accept
int triangle(struct __sk_buff *ctx)
{
	rolled for (int i = 0; i < 16; i++)
		rolled for (int j = i; j < 16; j++)
			*(volatile __u32 *)&numbers[j - i] = 1;
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int triangle_reversed(struct __sk_buff *ctx)
{
	struct table *t = a_table();

	if (!t)
		return 0;
	rolled for (int i = 0; i < 16; i++)
		rolled for (int j = 0; j <= i; j++) {
			barrier_var(j);
			*(volatile __u32 *)&t->row[15 + j - i + (i == 15)] = 1;
		}
	return 0;
}

SEC("tc") __accept
int halving(struct __sk_buff *ctx)
{
	__u32 n = ctx->len;

	rolled while (n) {
		total++;
		n >>= 1;
		barrier_var(n);
	}
	return 0;
}

SEC("tc") __accept
int lookups_in_loop(struct __sk_buff *ctx)
{
	rolled for (__u32 i = 0; i < 8; i++) {
		__u32 key = i;
		struct table *t = bpf_map_lookup_elem(&hash, &key);

		if (!t)
			continue;
		t->used = i;
	}
	return 0;
}

SEC("tc") __reject("invalid mem access 'map_value_or_null'")
int lookups_in_loop_unchecked(struct __sk_buff *ctx)
{
	rolled for (__u32 i = 0; i < 8; i++) {
		__u32 key = i;
		struct table *t = bpf_map_lookup_elem(&hash, &key);

		t->used = i;
	}
	return 0;
}

/* The first turn checked it, the second has a new pointer. */
SEC("tc") __reject("invalid mem access 'map_value_or_null'")
int lookup_of_last_turn_checked(struct __sk_buff *ctx)
{
	struct table *t = NULL;

	rolled for (__u32 i = 0; i < 8; i++) {
		__u32 key = i;

		if (t)
			t->used = i;
		t = bpf_map_lookup_elem(&hash, &key);
	}
	t->used = 1;
	return 0;
}

SEC("tc") __accept
int lookup_of_last_turn_checked_after(struct __sk_buff *ctx)
{
	struct table *t = NULL;

	rolled for (__u32 i = 0; i < 8; i++) {
		__u32 key = i;

		if (t)
			t->used = i;
		t = bpf_map_lookup_elem(&hash, &key);
	}
	if (t)
		t->used = 1;
	return 0;
}

SEC("tc") __accept
int branches_in_loop(struct __sk_buff *ctx)
{
	__u32 odd = 0, even = 0;

	rolled for (int i = 0; i < 64; i++) {
		if (bpf_get_prandom_u32() & 1)
			odd++;
		else
			even++;
		barrier_var(odd);
		barrier_var(even);
	}
	return (odd + even) & 1;
}

SEC("tc") __accept
int accumulated_index_masked(struct __sk_buff *ctx)
{
	struct table *t = a_table();
	__u32 at = 0;

	if (!t)
		return 0;
	rolled for (int i = 0; i < 32; i++) {
		at += bpf_get_prandom_u32() & 3;
		t->row[at & 15] = i;
	}
	return 0;
}

SEC("tc") __reject("max value is outside of the allowed memory range")
int accumulated_index(struct __sk_buff *ctx)
{
	struct table *t = a_table();
	__u32 at = 0;

	if (!t)
		return 0;
	rolled for (int i = 0; i < 8; i++) {
		at += bpf_get_prandom_u32() & 3;
		t->row[at] = i;
	}
	return 0;
}

SEC("tc") __accept
int accumulated_index_in_bounds(struct __sk_buff *ctx)
{
	struct table *t = a_table();
	__u32 at = 0;

	if (!t)
		return 0;
	rolled for (int i = 0; i < 5; i++) {
		at += bpf_get_prandom_u32() & 3;
		t->row[at] = i;
	}
	return 0;
}

SEC("tc") __accept
int ten_thousand_turns(struct __sk_buff *ctx)
{
	rolled for (int i = 0; i < 10000; i++)
		total += i;
	return 0;
}
