/* SPDX-License-Identifier: Apache-2.0 */
/* Takes the whole out of `m` and frees it, and its part with it. */
#include "objects.h"

SEC("tc")
int drop(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct map_val *v = bpf_map_lookup_elem(&m, &key);
	struct whole *w;

	if (!v)
		return TC_ACT_OK;
	w = bpf_kptr_xchg(&v->ptr, NULL);
	if (w)
		unit_free(w);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
