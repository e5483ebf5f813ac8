/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that are lost, given away twice, or used by somebody who does not own them. */
#include "mistakes.h"

struct plain {
	struct foo *ptr;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct plain);
} plains SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct foo);
} foos SEC(".maps");

static __always_inline struct holder *holder_of(struct __sk_buff *skb)
{
	__u32 key = skb->mark;

	return bpf_map_lookup_elem(&holders, &key);
}

SEC("tc")
int leak_at_the_end(struct __sk_buff *skb)
{
	struct foo *p = foo_alloc();

	if (!p)
		return 0;
	p->var = skb->len;
	return p->var;
}

SEC("tc")
int leak_on_one_path(struct __sk_buff *skb)
{
	struct foo *p = foo_alloc();

	if (!p)
		return 0;
	p->var = skb->len;
	if (p->var > 100)
		return 1;
	unit_free(p);
	return 0;
}

SEC("tc")
int leak_of_the_first(struct __sk_buff *skb)
{
	struct foo *p = foo_alloc(), *q;

	if (!p)
		return 0;
	q = foo_alloc();
	if (!q)
		return 0;
	unit_free(q);
	unit_free(p);
	return 0;
}

SEC("tc")
int old_object_ignored(struct __sk_buff *skb)
{
	struct holder *h = holder_of(skb);
	struct foo *p;

	if (!h)
		return 0;
	p = foo_alloc();
	if (!p)
		return 0;
	bpf_kptr_xchg(&h->ptr, p);
	return 0;
}

SEC("tc")
int used_after_free(struct __sk_buff *skb)
{
	struct foo *p = foo_alloc();

	if (!p)
		return 0;
	unit_free(p);
	return *(volatile int *)&p->var;
}

SEC("tc")
int freed_twice(struct __sk_buff *skb)
{
	struct foo *p = foo_alloc();

	if (!p)
		return 0;
	if (skb->len > 100)
		unit_free(p);
	unit_free(p);
	return 0;
}

SEC("tc")
int used_after_store(struct __sk_buff *skb)
{
	struct holder *h = holder_of(skb);
	struct foo *p, *old;

	if (!h)
		return 0;
	p = foo_alloc();
	if (!p)
		return 0;
	old = bpf_kptr_xchg(&h->ptr, p);
	if (old)
		unit_free(old);
	p->var = 1;
	return 0;
}

SEC("tc")
int member_freed(struct __sk_buff *skb)
{
	struct foo *p = foo_alloc();

	if (!p)
		return 0;
	unit_free(&p->more);
	return 0;
}

SEC("tc")
int variable_freed(struct __sk_buff *skb)
{
	struct foo local = {};

	unit_free(&local);
	return 0;
}

SEC("tc")
int value_freed(struct __sk_buff *skb)
{
	struct holder *h = holder_of(skb);

	if (h)
		unit_free(h);
	return 0;
}

SEC("tc")
int other_type_stored(struct __sk_buff *skb)
{
	struct holder *h = holder_of(skb);
	struct foo *p;

	if (!h)
		return 0;
	p = foo_alloc();
	if (!p)
		return 0;
	p = bpf_kptr_xchg((struct foo **)&h->other, p);
	if (p)
		unit_free(p);
	return 0;
}

SEC("tc")
int field_without_a_tag(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct plain *v = bpf_map_lookup_elem(&plains, &key);
	struct foo *p;

	if (!v)
		return 0;
	p = bpf_kptr_xchg(&v->ptr, NULL);
	if (p)
		unit_free(p);
	return 0;
}

SEC("tc")
int field_that_is_none(struct __sk_buff *skb)
{
	struct holder *h = holder_of(skb);
	struct foo *p;

	if (!h)
		return 0;
	p = bpf_kptr_xchg((struct foo **)&h->count, NULL);
	if (p)
		unit_free(p);
	return 0;
}

SEC("tc")
int field_written(struct __sk_buff *skb)
{
	struct holder *h = holder_of(skb);

	if (h)
		*(volatile __u64 *)&h->ptr = 0;
	return 0;
}

SEC("tc")
int type_of_another_allocator(struct __sk_buff *skb)
{
	struct bar *p = bpf_mem_alloc(&foos, type_id_local(struct bar));

	if (p)
		unit_free(p);
	return 0;
}

SEC("tc")
int type_not_known(struct __sk_buff *skb)
{
	struct foo *p = bpf_mem_alloc(&ma, skb->len);

	if (p)
		unit_free(p);
	return 0;
}

SEC("tc")
int prefill_where_nobody_may_sleep(struct __sk_buff *skb)
{
	return bpf_mem_prefill(&ma, 10);
}

SEC("tc")
int lookup_in_an_allocator(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	int *value = bpf_map_lookup_elem(&ma, &key);

	return value ? *value : 0;
}
