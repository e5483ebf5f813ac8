/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of eight objects in one value: a new one moves all others on by one. */
#include "corpus.h"

struct item {
	__u64 ns;
	__u64 len;
};

struct queue {
	struct item __kptr *a, __kptr *b, __kptr *c, __kptr *d;
	struct item __kptr *e, __kptr *f, __kptr *g, __kptr *h;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct queue);
} queues SEC(".maps");

#define SHIFT(field)                                                                          \
	item = bpf_kptr_xchg(&q->field, item);                                                \
	if (!item)                                                                            \
		return TC_ACT_OK;

SEC("tc")
int kptr_shift(struct __sk_buff *skb)
{
	__u32 key = skb->mark & 3;
	struct queue *q = bpf_map_lookup_elem(&queues, &key);
	struct item *item;

	if (!q)
		return TC_ACT_OK;
	item = bpf_obj_new(struct item);
	if (!item)
		return TC_ACT_SHOT;
	item->ns = bpf_ktime_get_ns();
	item->len = skb->len;
	SHIFT(a) SHIFT(b) SHIFT(c) SHIFT(d) SHIFT(e) SHIFT(f) SHIFT(g) SHIFT(h)
	key = item->len & 1;
	bpf_obj_drop(item);
	return key;
}
