/* SPDX-License-Identifier: Apache-2.0 */
/* Accesses outside of what is there. */
#include "mistakes.h"

__u32 table[16];

static __always_inline struct counts *counts_of(struct __sk_buff *skb)
{
	__u32 key = skb->mark;

	return bpf_map_lookup_elem(&counts, &key);
}

SEC("tc")
int index_unchecked(struct __sk_buff *skb)
{
	struct counts *c = counts_of(skb);

	return c ? c->row[skb->len] : 0;
}

SEC("tc")
int index_may_be_negative(struct __sk_buff *skb)
{
	struct counts *c = counts_of(skb);
	int i = skb->len;

	if (!c || i >= 15)
		return 0;
	barrier_var(i);
	return c->row[i];
}

SEC("tc")
int index_one_too_high(struct __sk_buff *skb)
{
	struct counts *c = counts_of(skb);
	__u64 i = skb->len;

	if (!c || i > 15)
		return 0;
	barrier_var(i);
	return c->row[i];
}

SEC("tc")
int index_masked_too_wide(struct __sk_buff *skb)
{
	struct counts *c = counts_of(skb);

	return c ? c->row[skb->len & 0x1f] : 0;
}

SEC("tc")
int other_index_checked(struct __sk_buff *skb)
{
	struct counts *c = counts_of(skb);
	__u64 i = skb->len, j = skb->priority;

	if (!c || i >= 15)
		return 0;
	barrier_var(i);
	return c->row[j];
}

SEC("tc")
int index_read_twice(struct __sk_buff *skb)
{
	struct counts *c = counts_of(skb);

	if (!c || c->used >= 15)
		return 0;
	barrier();
	return c->row[c->used];
}

SEC("tc")
int index_too_late(struct __sk_buff *skb)
{
	struct counts *c = counts_of(skb);
	__u64 i = skb->len;
	__u32 n;

	if (!c)
		return 0;
	n = *(volatile __u32 *)&c->row[i];
	return i < 15 ? n : 0;
}

SEC("tc")
int past_the_value(struct __sk_buff *skb)
{
	struct counts *c = counts_of(skb);

	return c ? *(volatile __u32 *)(c + 1) : 0;
}

SEC("tc")
int before_the_value(struct __sk_buff *skb)
{
	struct counts *c = counts_of(skb);

	return c ? *((volatile __u32 *)c - 1) : 0;
}

SEC("tc")
int loop_one_too_far(struct __sk_buff *skb)
{
	struct counts *c = counts_of(skb);

	if (!c)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i <= 15; i++)
		*(volatile __u32 *)&c->row[i] = i;
	return 0;
}

SEC("tc")
int variable_past_the_end(struct __sk_buff *skb)
{
	__u64 i = skb->len & 0x1f;

	barrier_var(i);
	return table[i];
}

SEC("tc")
int past_the_object(struct __sk_buff *skb)
{
	struct foo *p = foo_alloc();

	if (!p)
		return 0;
	*(volatile int *)(p + 1) = 1;
	unit_free(p);
	return 0;
}

SEC("tc")
int object_at_a_variable_index(struct __sk_buff *skb)
{
	struct foo *p = foo_alloc();

	if (!p)
		return 0;
	*(volatile int *)&p->more[skb->len & 1] = 1;
	unit_free(p);
	return 0;
}

SEC("tc")
int size_unchecked(struct __sk_buff *skb)
{
	char text[16] = "packet";

	bpf_trace_printk(text, skb->len);
	return 0;
}

SEC("tc")
int size_may_be_negative(struct __sk_buff *skb)
{
	char text[16] = "packet";
	long n = (int)skb->len;

	if (n > 16)
		return 0;
	barrier_var(n);
	bpf_trace_printk(text, n);
	return 0;
}

SEC("tc")
int size_may_be_zero(struct __sk_buff *skb)
{
	char text[16] = "packet";

	bpf_trace_printk(text, skb->len & 0xf);
	return 0;
}

SEC("tc")
int key_too_short(struct __sk_buff *skb)
{
	__u16 key = skb->mark;
	struct counts *c = bpf_map_lookup_elem(&counts, &key);

	return c ? c->used : 0;
}
