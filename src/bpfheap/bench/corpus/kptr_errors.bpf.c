/* SPDX-License-Identifier: Apache-2.0 */
/* Six objects, each may fail to come, and every failure gives back those before it. */
#include "corpus.h"

struct part {
	__u64 data[4];
};

struct whole {
	struct part __kptr *parts0;
	struct part __kptr *parts1;
	struct part __kptr *parts2;
	struct part __kptr *parts3;
	struct part __kptr *parts4;
	struct part __kptr *parts5;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct whole);
} wholes SEC(".maps");

#define NEW(n)                                                                                \
	p##n = bpf_obj_new(struct part);                                                      \
	if (!p##n)                                                                            \
		goto without_##n;                                                             \
	p##n->data[n & 3] = skb->len;

#define STORE(n)                                                                              \
	p##n = bpf_kptr_xchg(&w->parts##n, p##n);                                             \
	if (p##n)                                                                             \
		bpf_obj_drop(p##n);

SEC("tc")
int kptr_errors(struct __sk_buff *skb)
{
	__u32 key = skb->hash;
	struct whole *w = bpf_map_lookup_elem(&wholes, &key);
	struct part *p0, *p1, *p2, *p3, *p4, *p5;

	if (!w)
		return TC_ACT_OK;
	NEW(0) NEW(1) NEW(2) NEW(3) NEW(4) NEW(5)
	STORE(0) STORE(1) STORE(2) STORE(3) STORE(4) STORE(5)
	return TC_ACT_OK;

without_5:
	bpf_obj_drop(p4);
without_4:
	bpf_obj_drop(p3);
without_3:
	bpf_obj_drop(p2);
without_2:
	bpf_obj_drop(p1);
without_1:
	bpf_obj_drop(p0);
without_0:
	return TC_ACT_SHOT;
}
