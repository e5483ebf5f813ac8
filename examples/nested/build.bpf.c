/* SPDX-License-Identifier: Apache-2.0 */
/* Builds a whole with its part, from two allocators, and leaves it in `m`. */
#include "objects.h"

#ifndef BPFHEAP_KPTR_ALLOCATORS
struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct whole);
} ma SEC(".maps");
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct part);
} mb SEC(".maps");

SEC("tc")
int build(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct map_val *v = bpf_map_lookup_elem(&m, &key);
	struct whole *w;
	struct part *p;

	if (!v)
		return TC_ACT_OK;
	w = bpf_mem_alloc(&ma, type_id_local(struct whole));
	if (!w)
		return TC_ACT_OK;
	p = bpf_mem_alloc(&mb, type_id_local(struct part));
	if (p)
		p = bpf_kptr_xchg(&w->part, p);
	if (p)
		unit_free(p);
	w = bpf_kptr_xchg(&v->ptr, w);
	if (w)
		unit_free(w);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
