/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of objects: one program puts them in at the back, another takes them from the front. */
#include "corpus.h"

struct work {
	__u64 id;
	struct bpf_list_node node;
	__u64 due_ns;
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head queue __contains(work, node);

SEC("tc/put")
int list_put(struct __sk_buff *skb)
{
	struct work *work = bpf_obj_new(struct work);

	if (!work)
		return TC_ACT_SHOT;
	work->id = skb->hash;
	work->due_ns = bpf_ktime_get_ns();
	bpf_spin_lock(&lock);
	if (skb->priority)
		bpf_list_push_front(&queue, &work->node);
	else
		bpf_list_push_back(&queue, &work->node);
	bpf_spin_unlock(&lock);
	return TC_ACT_OK;
}

SEC("tc/take")
int list_take(struct __sk_buff *skb)
{
	struct bpf_list_node *node;
	struct work *work;
	int parity;

	bpf_spin_lock(&lock);
	node = bpf_list_pop_front(&queue);
	bpf_spin_unlock(&lock);
	if (!node)
		return TC_ACT_OK;
	work = container_of(node, struct work, node);
	parity = work->id & 1;
	bpf_obj_drop(work);
	return parity;
}
