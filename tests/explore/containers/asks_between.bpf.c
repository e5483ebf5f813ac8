/* SPDX-License-Identifier: Apache-2.0 */
/* An item out of a list, which is read behind a call that tells others nothing. */
#include <bpfheap.h>

char LICENSE[] SEC("license") = "GPL";

struct item {
	__u32 key;
	struct bpf_list_node link;
};

struct queue {
	struct bpf_spin_lock lock;
	struct bpf_list_head head __contains(item, link);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct queue);
} queues SEC(".maps");

SEC("tc") int put_and_take(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;
	struct item *i;
	__u32 zero = 0, key;
	struct queue *q = bpf_map_lookup_elem(&queues, &zero);

	if (!q)
		return 0;
	i = bpf_obj_new(struct item);
	if (!i)
		return 0;
	i->key = 5;
	bpf_spin_lock(&q->lock);
	bpf_list_push_back(&q->head, &i->link);
	n = bpf_list_pop_front(&q->head);
	bpf_spin_unlock(&q->lock);
	if (!n)
		return 0;
	i = container_of(n, struct item, link);
	bpf_get_smp_processor_id();
	key = i->key;
	bpf_obj_drop(i);
	return key;
}
