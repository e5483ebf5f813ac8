/* SPDX-License-Identifier: Apache-2.0 */
/* A pointer to one of four values, by branches; the write after them is for each of the four. */
#include "corpus.h"

struct value {
	__u64 packets, bytes;
};

#define MAP(name)                                                                             \
	struct {                                                                              \
		__uint(type, BPF_MAP_TYPE_HASH);                                              \
		__uint(max_entries, 1024);                                                    \
		__type(key, __u32);                                                           \
		__type(value, struct value);                                                  \
	} name SEC(".maps");

MAP(local)
MAP(near)
MAP(far)
MAP(other)

SEC("tc")
int pick_a_map(struct __sk_buff *skb)
{
	__u32 key = skb->hash;
	struct value *v;

	if (skb->pkt_type == 0)
		v = bpf_map_lookup_elem(&local, &key);
	else if (skb->ingress_ifindex < 4)
		v = bpf_map_lookup_elem(&near, &key);
	else if (skb->ingress_ifindex < 64)
		v = bpf_map_lookup_elem(&far, &key);
	else
		v = bpf_map_lookup_elem(&other, &key);
	if (!v)
		return TC_ACT_OK;
	v->packets++;
	v->bytes += skb->len;
	return TC_ACT_OK;
}
