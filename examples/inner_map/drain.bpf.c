/* SPDX-License-Identifier: Apache-2.0 */
/* Takes the object out of `inner`, which it knows by name, and frees it. */
#include "../array.h"

AN_ARRAY(inner);

SEC("tc")
int drain(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct map_val *v = bpf_map_lookup_elem(&inner, &key);
	struct foo *p;

	if (!v)
		return TC_ACT_OK;
	p = bpf_kptr_xchg(&v->ptr, NULL);
	if (p)
		unit_free(p);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
