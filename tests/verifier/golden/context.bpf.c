/* SPDX-License-Identifier: Apache-2.0 */
/* The context, the result, and what a pointer can be used for. */
#include "mistakes.h"

const volatile __u32 limit = 5;

SEC("tc")
int past_the_context(struct __sk_buff *skb)
{
	return *(volatile __u32 *)(skb + 1);
}

SEC("tc")
int field_read_only(struct __sk_buff *skb)
{
	*(volatile __u32 *)&skb->len = 5;
	return 0;
}

SEC("tc")
int context_at_a_variable_offset(struct __sk_buff *skb)
{
	__u64 i = skb->len & 3;
	void *p = (void *)skb + i;

	barrier_var(p);
	return *(volatile __u32 *)p;
}

SEC("cgroup_skb/egress")
int result_out_of_range(struct __sk_buff *skb)
{
	return skb->len & 7;
}

SEC("tc")
int constant_written(struct __sk_buff *skb)
{
	*(volatile __u32 *)&limit = skb->len;
	return 0;
}

SEC("tc")
int number_as_a_pointer(struct __sk_buff *skb)
{
	return *(volatile __u32 *)(unsigned long)skb->hash;
}

SEC("tc")
int pointer_multiplied(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct counts *c = bpf_map_lookup_elem(&counts, &key);
	__u64 n = (__u64)c;

	if (!c)
		return 0;
	n *= 2;
	barrier_var(n);
	return *(volatile __u32 *)n;
}

SEC("tc")
int pointer_masked(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct counts *c = bpf_map_lookup_elem(&counts, &key);
	__u64 n = (__u64)c;

	if (!c)
		return 0;
	barrier_var(n);
	n &= ~7ULL;
	return *(volatile __u32 *)n;
}

SEC("tc")
int pointer_cut_to_an_int(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct counts *c = bpf_map_lookup_elem(&counts, &key);
	__u32 n = (__u32)(__u64)c;

	if (!c)
		return 0;
	barrier_var(n);
	return *(volatile __u32 *)(__u64)n;
}

SEC("tc")
int map_read_directly(struct __sk_buff *skb)
{
	return *(volatile __u32 *)&counts;
}
