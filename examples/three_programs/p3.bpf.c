/* SPDX-License-Identifier: Apache-2.0 */
/* P3 takes whatever is in M2 and frees it. That must be right whoever allocated it. */
#include "foo.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 123);
	__type(key, __u32);
	__type(value, struct map_val);
	KPTRS_FROM_MA
} m2 SEC(".maps");

SEC("tc")
int p3(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct map_val *v = bpf_map_lookup_elem(&m2, &key);
	struct foo *p;

	if (!v)
		return TC_ACT_OK;

	p = bpf_kptr_xchg(&v->ptr, NULL);
	if (p)
		unit_free(p);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
