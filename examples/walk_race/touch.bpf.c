/* SPDX-License-Identifier: Apache-2.0 */
/* Takes the object out of `m` and puts it back: in between, whoever looks sees NULL. */
#include "../array.h"

AN_ARRAY(m);

SEC("tc")
int touch(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct map_val *v = bpf_map_lookup_elem(&m, &key);
	struct foo *p;

	if (!v)
		return TC_ACT_OK;
	p = bpf_kptr_xchg(&v->ptr, NULL);
	if (!p)
		return TC_ACT_OK;
	p = bpf_kptr_xchg(&v->ptr, p);
	if (p)
		unit_free(p);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
