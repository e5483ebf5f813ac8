/* SPDX-License-Identifier: Apache-2.0 */
/* Has an object on its stack that it took out of `m`, for one more call. */
#include "../array.h"

AN_ARRAY(m);

SEC("tc")
int take(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct map_val *v = bpf_map_lookup_elem(&m, &key);
	struct foo *p;

	if (!v)
		return TC_ACT_OK;
	p = bpf_kptr_xchg(&v->ptr, NULL);
	if (!p)
		return TC_ACT_OK;
	bpf_map_lookup_elem(&m, &key);
	unit_free(p);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
