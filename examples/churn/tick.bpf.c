/* SPDX-License-Identifier: Apache-2.0 */
/* Allocates and frees an object. Of `kept` it only looks an element up. */
#include "../array.h"

#ifndef BPFHEAP_KPTR_ALLOCATORS
struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct foo);
} ma SEC(".maps");
#endif

AN_ARRAY(kept);

SEC("tc")
int tick(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct map_val *v = bpf_map_lookup_elem(&kept, &key);
	struct foo *p;

	if (!v)
		return TC_ACT_OK;
	p = bpf_mem_alloc(&ma, type_id_local(struct foo));
	if (p)
		unit_free(p);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
