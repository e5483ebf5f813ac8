/* SPDX-License-Identifier: Apache-2.0 */
/* Stores an object into whatever map user space has put into `outer`. */
#include "../array.h"

/* A template of inner maps only points at its types. */
__kptr_type(struct map_val);
__kptr_type(struct foo);

#ifndef BPFHEAP_KPTR_ALLOCATORS
struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct foo);
} ma SEC(".maps");
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(max_entries, 1);
		__type(key, __u32);
		__type(value, struct map_val);
		KPTRS_FROM_MA
	});
} outer SEC(".maps");

SEC("tc")
int fill(struct __sk_buff *skb)
{
	__u32 key = 0;
	void *inner = bpf_map_lookup_elem(&outer, &key);
	struct map_val *v;
	struct foo *p;

	if (!inner)
		return TC_ACT_OK;
	v = bpf_map_lookup_elem(inner, &key);
	if (!v)
		return TC_ACT_OK;

	p = bpf_mem_alloc(&ma, type_id_local(struct foo));
	if (!p)
		return TC_ACT_OK;
	p = bpf_kptr_xchg(&v->ptr, p);
	if (p)
		unit_free(p);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
