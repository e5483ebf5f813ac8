/* SPDX-License-Identifier: Apache-2.0 */
/* Has an object on its stack from the allocation on, for two more calls. */
#include "../array.h"

#ifndef BPFHEAP_KPTR_ALLOCATORS
struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct foo);
} ma SEC(".maps");
#endif

AN_ARRAY(m);

SEC("tc")
int hold(struct __sk_buff *skb)
{
	struct foo *p = bpf_mem_alloc(&ma, type_id_local(struct foo));
	struct map_val *v;
	__u32 key = 0;

	if (!p)
		return TC_ACT_OK;
	v = bpf_map_lookup_elem(&m, &key);
	if (v)
		p = bpf_kptr_xchg(&v->ptr, p);
	if (p)
		unit_free(p);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
