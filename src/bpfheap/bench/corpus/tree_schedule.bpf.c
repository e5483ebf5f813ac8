/* SPDX-License-Identifier: Apache-2.0 */
/* A tree ordered by time: objects go in, the first that is due comes out. */
#include "corpus.h"

struct timer_node {
	__u64 due_ns;
	struct bpf_rb_node node;
	__u64 id;
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_rb_root schedule __contains(timer_node, node);

static _Bool earlier(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	struct timer_node *one = container_of(a, struct timer_node, node);
	struct timer_node *two = container_of(b, struct timer_node, node);

	return one->due_ns < two->due_ns;
}

SEC("tc")
int tree_schedule(struct __sk_buff *skb)
{
	struct timer_node *made = bpf_obj_new(struct timer_node);
	struct bpf_rb_node *first;
	__u64 now = bpf_ktime_get_ns();

	if (!made)
		return TC_ACT_SHOT;
	made->due_ns = now + skb->mark;
	made->id = skb->hash;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&schedule, &made->node, earlier);
	first = bpf_rbtree_first(&schedule);
	if (!first || container_of(first, struct timer_node, node)->due_ns > now) {
		bpf_spin_unlock(&lock);
		return TC_ACT_OK;
	}
	first = bpf_rbtree_remove(&schedule, first);
	bpf_spin_unlock(&lock);
	if (first)
		bpf_obj_drop(container_of(first, struct timer_node, node));
	return TC_ACT_PIPE;
}
