/* SPDX-License-Identifier: Apache-2.0 */
/* P2 allocates an object from A and stores it in M1. It is the only one that knows A. */
#include "foo.h"

#ifndef BPFHEAP_KPTR_ALLOCATORS
struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct foo);
} ma SEC(".maps");
#endif

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 123);
	__type(key, __u32);
	__type(value, struct map_val);
	KPTRS_FROM_MA
} m1 SEC(".maps");

SEC("tc")
int p2(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct map_val empty = {};
	struct map_val *v;
	struct foo *p;

	/* Fails if the element is there already, which is as good. */
	bpf_map_update_elem(&m1, &key, &empty, BPF_NOEXIST);

	v = bpf_map_lookup_elem(&m1, &key);
	if (!v)
		return TC_ACT_OK;

	p = bpf_mem_alloc(&ma, type_id_local(struct foo));
	if (!p)
		return TC_ACT_OK;
	p->var = 42;

	p = bpf_kptr_xchg(&v->ptr, p);
	if (p)
		unit_free(p);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
