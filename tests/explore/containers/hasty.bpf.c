/* SPDX-License-Identifier: Apache-2.0 */
/* What was seen under the lock is used after it: only where another program takes it out in
 * between does anything go wrong. */
#include <bpfheap.h>

char LICENSE[] SEC("license") = "GPL";

struct item {
	__u32 key;
	struct bpf_list_node link;
	struct bpf_rb_node node;
	struct bpf_refcount refs;
};

struct queue {
	struct bpf_spin_lock lock;
	struct bpf_list_head head __contains(item, link);
	struct bpf_rb_root root __contains(item, node);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct queue);
} queues SEC(".maps");

SEC("tc") int hasty(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;
	struct queue *q;
	__u32 key = 0;

	q = bpf_map_lookup_elem(&queues, &key);
	if (!q)
		return 0;
	bpf_spin_lock(&q->lock);
	n = bpf_list_front(&q->head);
	bpf_spin_unlock(&q->lock);
	bpf_get_smp_processor_id();
	if (n)
		*(volatile __u32 *)&container_of(n, struct item, link)->key = 7;
	return 0;
}
