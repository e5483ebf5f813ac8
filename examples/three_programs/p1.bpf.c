/* SPDX-License-Identifier: Apache-2.0 */
/*
 * P1 moves an object from M1 to M2.
 *
 * It has never heard of an allocator: that M2 may now hold objects of `ma` cannot be seen in this
 * file. Maps of the same name in several objects are one map.
 */
#include "foo.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 123);
	__type(key, __u32);
	__type(value, struct map_val);
	KPTRS_FROM_MA
} m1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 123);
	__type(key, __u32);
	__type(value, struct map_val);
	KPTRS_FROM_MA
} m2 SEC(".maps");

SEC("tc")
int p1(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct map_val empty = {};
	struct map_val *from, *to;
	struct foo *p;

	/* Fails if the element is there already, which is as good. */
	bpf_map_update_elem(&m2, &key, &empty, BPF_NOEXIST);

	from = bpf_map_lookup_elem(&m1, &key);
	to = bpf_map_lookup_elem(&m2, &key);
	if (!from || !to)
		return TC_ACT_OK;

	p = bpf_kptr_xchg(&from->ptr, NULL);
	if (!p)
		return TC_ACT_OK;

	p = bpf_kptr_xchg(&to->ptr, p);
	if (p)
		unit_free(p);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
