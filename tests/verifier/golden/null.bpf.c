/* SPDX-License-Identifier: Apache-2.0 */
/* Pointers that may be NULL. */
#include "mistakes.h"

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps");

SEC("tc")
int value_unchecked(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct counts *c = bpf_map_lookup_elem(&counts, &key);

	return c->used;
}

SEC("tc")
int object_unchecked(struct __sk_buff *skb)
{
	struct foo *p = foo_alloc();

	p->var = 1;
	unit_free(p);
	return 0;
}

SEC("tc")
int freed_unchecked(struct __sk_buff *skb)
{
	unit_free(foo_alloc());
	return 0;
}

SEC("tc")
int taken_unchecked(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct holder *h = bpf_map_lookup_elem(&holders, &key);
	struct foo *p;

	if (!h)
		return 0;
	p = bpf_kptr_xchg(&h->ptr, NULL);
	h->count += p->var;
	unit_free(p);
	return 0;
}

SEC("tc")
int inner_map_unchecked(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	void *map = bpf_map_lookup_elem(&outer, &key);
	__u64 *n = bpf_map_lookup_elem(map, &key);

	return n ? *n : 0;
}

SEC("tc")
int other_pointer_checked(struct __sk_buff *skb)
{
	__u32 key = skb->mark, next = key + 1;
	struct counts *c = bpf_map_lookup_elem(&counts, &key);
	struct counts *d = bpf_map_lookup_elem(&counts, &next);

	if (!c)
		return 0;
	return d->used;
}

SEC("tc")
int looked_up_again(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct counts *c = bpf_map_lookup_elem(&counts, &key);

	if (!c)
		return 0;
	c->used++;
	c = bpf_map_lookup_elem(&counts, &key);
	return c->used;
}

SEC("tc")
int checked_the_wrong_way(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct counts *c = bpf_map_lookup_elem(&counts, &key);

	if (c)
		return 0;
	barrier_var(c);
	return c->used;
}

SEC("tc")
int member_of_unchecked(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct holder *h = bpf_map_lookup_elem(&holders, &key);
	struct foo *p = bpf_kptr_xchg(&h->ptr, NULL);

	if (p)
		unit_free(p);
	return 0;
}

__noinline int sum_of(struct counts *c)
{
	return c->row[0] + c->row[1];
}

SEC("tc")
int argument_unchecked(struct __sk_buff *skb)
{
	struct counts c = {};

	return sum_of(&c);
}
