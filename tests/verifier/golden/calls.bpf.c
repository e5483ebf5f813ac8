/* SPDX-License-Identifier: Apache-2.0 */
/* Loops, callbacks and functions. */
#include "mistakes.h"

SEC("tc")
int loop_without_end(struct __sk_buff *skb)
{
	__u32 n = skb->len;

	while (n != 3)
		barrier();
	return 0;
}

SEC("tc")
int loop_too_long(struct __sk_buff *skb)
{
	__u64 sum = 0;

#pragma clang loop unroll(disable)
	for (__u64 i = 0; i < 10000000; i++) {
		sum += i;
		barrier_var(sum);
	}
	return sum;
}

static __noinline int even(__u32 n);

static __noinline int odd(__u32 n)
{
	barrier_var(n);
	return n ? even(n - 1) + 1 : 0;
}

static __noinline int even(__u32 n)
{
	barrier_var(n);
	return n ? odd(n - 1) + 1 : 1;
}

SEC("tc")
int recursion(struct __sk_buff *skb)
{
	return odd(skb->len);
}

static long stop_with_2(__u32 i, void *ctx)
{
	return i > 5 ? 2 : 0;
}

SEC("tc")
int callback_result(struct __sk_buff *skb)
{
	return bpf_loop(10, stop_with_2, NULL, 0);
}

struct place {
	__u32 index;
	__u32 row[8];
};

static long write_next(__u32 i, void *ctx)
{
	struct place *p = ctx;

	p->row[i] = i;
	return 0;
}

SEC("tc")
int callback_index(struct __sk_buff *skb)
{
	struct place p = {};

	bpf_loop(8, write_next, &p, 0);
	return p.row[0];
}

SEC("tc")
int callback_is_a_number(struct __sk_buff *skb)
{
	return bpf_loop(10, (void *)5, NULL, 0);
}

static long clear_key(void *map, __u32 *key, struct counts *value, void *ctx)
{
	*key = 0;
	return 0;
}

SEC("tc")
int key_written(struct __sk_buff *skb)
{
	return bpf_for_each_map_elem(&counts, clear_key, NULL, 0);
}

static long use_ctx(__u32 i, void *ctx)
{
	*(volatile __u32 *)ctx = i;
	return 0;
}

SEC("tc")
int callback_without_context(struct __sk_buff *skb)
{
	return bpf_loop(10, use_ctx, NULL, 0);
}

__noinline int first_of(struct counts *c)
{
	return c ? c->row[0] : 0;
}

SEC("tc")
int argument_is_a_number(struct __sk_buff *skb)
{
	return first_of((void *)(unsigned long)skb->len);
}

SEC("tc")
int argument_too_small(struct __sk_buff *skb)
{
	__u64 one = 1;

	return first_of((void *)&one);
}

__noinline void *pointer_of(int n)
{
	barrier_var(n);
	return (void *)(long)n;
}

SEC("tc")
int global_function_returns_a_pointer(struct __sk_buff *skb)
{
	return pointer_of(skb->len) ? 1 : 0;
}

static __noinline __u32 read_at(struct counts *c, __u64 i)
{
	return c->row[i];
}

SEC("tc")
int argument_unbounded(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct counts *c = bpf_map_lookup_elem(&counts, &key);

	if (!c)
		return 0;
	return read_at(c, 3) + read_at(c, skb->len);
}

SEC("tc")
int not_a_map(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct counts *c = bpf_map_lookup_elem(skb, &key);

	return c ? c->used : 0;
}

SEC("tc")
int result_not_kept(struct __sk_buff *skb)
{
	__u64 r;

	asm volatile("r1 = 7; call %[now]; %[r] = r1"
		     : [r] "=r"(r)
		     : [now] "i"(5)
		     : "r0", "r1", "r2", "r3", "r4", "r5");
	return r;
}
