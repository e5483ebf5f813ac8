/* SPDX-License-Identifier: Apache-2.0 */
/* Fills `shared` from `mb`, and frees what it finds there. */
#include "../array.h"

struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct foo);
} mb SEC(".maps");

AN_ARRAY(shared);

SEC("tc")
int second(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct map_val *v = bpf_map_lookup_elem(&shared, &key);
	struct foo *p;

	if (!v)
		return TC_ACT_OK;
	p = bpf_mem_alloc(&mb, type_id_local(struct foo));
	if (!p)
		return TC_ACT_OK;
	p = bpf_kptr_xchg(&v->ptr, p);
	if (p)
		unit_free(p);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
