/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest useful program: allocate an object, and let a map own it. */
#include <bpfheap.h>

struct foo {
	int var;
};

/* An allocator is a map that has no elements. */
struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct foo);
} ma SEC(".maps");

/* What is in a kptr field belongs to the map. */
struct slot {
	struct foo *ptr __kptr __local;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

SEC("tc")
int first(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct slot *slot = bpf_map_lookup_elem(&slots, &key);
	struct foo *p;

	if (!slot)
		return 0;

	p = bpf_mem_alloc(&ma, type_id_local(struct foo));
	if (!p)
		return 0;
	p->var = 42;
	bpf_printk("made a foo, var is %d", p->var);

	/* The map owns p now, and we own what it held before. */
	p = bpf_kptr_xchg(&slot->ptr, p);
	if (p)
		unit_free(p);
	return 0;
}

char _license[] SEC("license") = "GPL";
