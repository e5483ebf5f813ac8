/* SPDX-License-Identifier: Apache-2.0 */
/* Locks, RCU sections, lists, trees, counts, copies per CPU, iterators. */
#include "mistakes.h"





extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

struct job {
	__u64 cost;
	struct bpf_list_node node;
};

struct entry {
	__u64 key;
	struct bpf_rb_node node;
};

#define shared(name) SEC(".data." #name) __hidden __attribute__((aligned(8)))

shared(A) struct bpf_spin_lock lock;
shared(A) struct bpf_list_head jobs __contains(job, node);
shared(A) struct bpf_rb_root entries __contains(entry, node);
shared(B) struct bpf_spin_lock other_lock;

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct entry, node)->key < container_of(b, struct entry, node)->key;
}

SEC("tc")
int push_without_lock(struct __sk_buff *skb)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_list_push_front(&jobs, &j->node);
	return 0;
}

SEC("tc")
int push_under_another_lock(struct __sk_buff *skb)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_spin_lock(&other_lock);
	bpf_list_push_front(&jobs, &j->node);
	bpf_spin_unlock(&other_lock);
	return 0;
}

SEC("tc")
int used_after_unlock(struct __sk_buff *skb)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_spin_lock(&lock);
	bpf_list_push_front(&jobs, &j->node);
	bpf_spin_unlock(&lock);
	*(volatile __u64 *)&j->cost = 1;
	return 0;
}

SEC("tc")
int popped_and_lost(struct __sk_buff *skb)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock);
	n = bpf_list_pop_front(&jobs);
	bpf_spin_unlock(&lock);
	return n ? 1 : 0;
}

SEC("tc")
int tree_holds_another_type(struct __sk_buff *skb)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&entries, (void *)&j->node, less);
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("tc")
int added_and_freed(struct __sk_buff *skb)
{
	struct entry *e = bpf_obj_new(struct entry);

	if (!e)
		return 0;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&entries, &e->node, less);
	bpf_spin_unlock(&lock);
	bpf_obj_drop(e);
	return 0;
}

SEC("tc")
int lock_kept(struct __sk_buff *skb)
{
	bpf_spin_lock(&lock);
	if (skb->len > 100)
		return 1;
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("tc")
int lock_taken_twice(struct __sk_buff *skb)
{
	bpf_spin_lock(&lock);
	bpf_spin_lock(&lock);
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("tc")
int unlock_of_nothing(struct __sk_buff *skb)
{
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("tc")
int call_under_lock(struct __sk_buff *skb)
{
	struct job *j;

	bpf_spin_lock(&lock);
	j = bpf_obj_new(struct job);
	bpf_spin_unlock(&lock);
	if (j)
		bpf_obj_drop(j);
	return 0;
}

SEC("tc")
int count_that_is_none(struct __sk_buff *skb)
{
	struct job *j = bpf_obj_new(struct job), *k;

	if (!j)
		return 0;
	k = bpf_refcount_acquire(j);
	bpf_obj_drop(k);
	bpf_obj_drop(j);
	return 0;
}

SEC("tc")
int copies_accessed_directly(struct __sk_buff *skb)
{
	struct bar *b = (struct bar *)bpf_percpu_obj_new(struct bar);

	if (!b)
		return 0;
	b->sum = 1;
	bpf_percpu_obj_drop(b);
	return 0;
}

SEC("syscall")
int section_left_open(void *ctx)
{
	bpf_rcu_read_lock();
	return 0;
}

SEC("syscall")
int section_never_entered(void *ctx)
{
	bpf_rcu_read_unlock();
	return 0;
}

SEC("tc")
int iterator_not_destroyed(struct __sk_buff *skb)
{
	struct bpf_iter_num it;
	int *n, sum = 0;

	bpf_iter_num_new(&it, 0, 10);
	while ((n = bpf_iter_num_next(&it)))
		sum += *n;
	return sum & 1;
}

SEC("tc")
int iterator_not_begun(struct __sk_buff *skb)
{
	struct bpf_iter_num it;

	bpf_iter_num_next(&it);
	bpf_iter_num_destroy(&it);
	return 0;
}

SEC("tc")
int element_unchecked(struct __sk_buff *skb)
{
	struct bpf_iter_num it;
	int sum;

	bpf_iter_num_new(&it, 0, 10);
	sum = *(volatile int *)bpf_iter_num_next(&it);
	bpf_iter_num_destroy(&it);
	return sum & 1;
}

SEC("tc")
int element_used_too_late(struct __sk_buff *skb)
{
	struct bpf_iter_num it;
	int *n;

	bpf_iter_num_new(&it, 0, 10);
	n = bpf_iter_num_next(&it);
	bpf_iter_num_destroy(&it);
	return n ? *(volatile int *)n & 1 : 0;
}
