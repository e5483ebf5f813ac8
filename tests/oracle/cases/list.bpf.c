/* SPDX-License-Identifier: Apache-2.0 */
/* Linked lists of objects, each under the lock that lies in the same map value. */
#include "oracle.h"

struct job {
	__u64 cost;
	struct bpf_list_node node;
	__u32 tag;
};

struct task_pair {
	struct bpf_list_node first;
	struct bpf_list_node second;
	__u64 data;
};

struct queue {
	struct bpf_spin_lock lock;
	struct bpf_list_head head __contains(job, node);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct queue);
} queues SEC(".maps");

private(A) struct bpf_spin_lock lock_a;
private(A) struct bpf_list_head head_a __contains(job, node);
private(A) struct bpf_list_head other_a __contains(job, node);
private(A) struct bpf_list_head second_a __contains(task_pair, second);
private(A) struct bpf_list_head first_a __contains(task_pair, first);
private(B) struct bpf_spin_lock lock_b;
private(B) struct bpf_list_head head_b __contains(job, node);

static __always_inline struct queue *a_queue(void)
{
	__u32 key = bpf_get_prandom_u32();

	return bpf_map_lookup_elem(&queues, &key);
}

#define job_of(n) container_of(n, struct job, node)

/* ----------------------------------------------------------------------------------- push */

SEC("tc") __accept
int push_front(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_front(&head_a, &j->node);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int push_back(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_back(&head_a, &j->node);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int push_at_the_start(struct __sk_buff *ctx)
{
	struct task_pair *p = bpf_obj_new(struct task_pair);

	if (!p)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_back(&first_a, &p->first);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("arg#1 expected pointer to allocated object")
int push_at_the_start_unchecked(struct __sk_buff *ctx)
{
	struct task_pair *p = bpf_obj_new(struct task_pair);

	bpf_spin_lock(&lock_a);
	bpf_list_push_back(&first_a, &p->first);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("must be held for bpf_list_head")
int push_without_lock(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_list_push_front(&head_a, &j->node);
	return 0;
}

SEC("tc") __reject("must be held for bpf_list_head")
int push_under_other_lock(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_spin_lock(&lock_b);
	bpf_list_push_front(&head_a, &j->node);
	bpf_spin_unlock(&lock_b);
	return 0;
}

SEC("tc") __reject("must be held for bpf_list_head")
int push_after_unlock(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_spin_unlock(&lock_a);
	bpf_list_push_front(&head_a, &j->node);
	return 0;
}

SEC("tc") __reject("pointer arithmetic on ptr_or_null_ prohibited, null-check it")
int push_unchecked(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	bpf_spin_lock(&lock_a);
	bpf_list_push_front(&head_a, &j->node);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("bpf_list_node not found at offset=0")
int push_wrong_offset(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_front(&head_a, (void *)&j->cost);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("operation on bpf_list_head expects arg#1 bpf_list_node at offset=8 in struct job")
int push_other_type(struct __sk_buff *ctx)
{
	struct task_pair *p = bpf_obj_new(struct task_pair);

	if (!p)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_front(&head_a, &p->first);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int push_second_node(struct __sk_buff *ctx)
{
	struct task_pair *p = bpf_obj_new(struct task_pair);

	if (!p)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_front(&second_a, &p->second);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("arg#1 offset=0, but expected bpf_list_node at offset=24 in")
int push_first_node(struct __sk_buff *ctx)
{
	struct task_pair *p = bpf_obj_new(struct task_pair);

	if (!p)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_front(&second_a, &p->first);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("arg#1 expected pointer to allocated object")
int push_twice(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_front(&head_a, &j->node);
	bpf_list_push_front(&other_a, &j->node);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int push_two(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job), *k;

	if (!j)
		return 0;
	k = bpf_obj_new(struct job);
	if (!k) {
		bpf_obj_drop(j);
		return 0;
	}
	bpf_spin_lock(&lock_a);
	bpf_list_push_front(&head_a, &j->node);
	bpf_list_push_front(&other_a, &k->node);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("must be referenced or trusted")
int push_then_drop(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_front(&head_a, &j->node);
	bpf_spin_unlock(&lock_a);
	bpf_obj_drop(j);
	return 0;
}

SEC("tc") __reject("arg#1 expected pointer to allocated object")
int push_stack_node(struct __sk_buff *ctx)
{
	struct job j = {};

	bpf_spin_lock(&lock_a);
	bpf_list_push_front(&head_a, &j.node);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("bpf_list_head not found at offset=0")
int push_to_lock(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_front((void *)&lock_a, &j->node);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int push_to_value(struct __sk_buff *ctx)
{
	struct queue *q = a_queue();
	struct job *j;

	if (!q)
		return 0;
	j = bpf_obj_new(struct job);
	if (!j)
		return 0;
	bpf_spin_lock(&q->lock);
	bpf_list_push_front(&q->head, &j->node);
	bpf_spin_unlock(&q->lock);
	return 0;
}

SEC("tc") __reject("must be held for bpf_list_head")
int push_to_value_under_lock_of_other_lookup(struct __sk_buff *ctx)
{
	struct queue *q = a_queue(), *r = a_queue();
	struct job *j;

	if (!q || !r)
		return 0;
	j = bpf_obj_new(struct job);
	if (!j)
		return 0;
	bpf_spin_lock(&r->lock);
	bpf_list_push_front(&q->head, &j->node);
	bpf_spin_unlock(&r->lock);
	return 0;
}

SEC("tc") __reject("must be held for bpf_list_head")
int push_to_value_under_global_lock(struct __sk_buff *ctx)
{
	struct queue *q = a_queue();
	struct job *j;

	if (!q)
		return 0;
	j = bpf_obj_new(struct job);
	if (!j)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_front(&q->head, &j->node);
	bpf_spin_unlock(&lock_a);
	return 0;
}

/* --------------------------------------------------------- an object in the list, seen under lock */

SEC("tc") __accept
int write_after_push(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_front(&head_a, &j->node);
	*(volatile __u64 *)&j->cost = 1;
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int write_after_unlock(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_front(&head_a, &j->node);
	bpf_spin_unlock(&lock_a);
	*(volatile __u64 *)&j->cost = 1;
	return 0;
}

SEC("tc") __reject("direct access to bpf_list_node is disallowed")
int write_node_after_push(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_front(&head_a, &j->node);
	*(volatile __u64 *)&j->node = 1;
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("function calls are not allowed while holding a lock")
int drop_after_push_under_lock(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_list_push_front(&head_a, &j->node);
	bpf_obj_drop(j);
	bpf_spin_unlock(&lock_a);
	return 0;
}

/* ------------------------------------------------------------------------------------ pop */

SEC("tc") __accept
int pop_front(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_list_pop_front(&head_a);
	bpf_spin_unlock(&lock_a);
	if (!n)
		return 0;
	bpf_obj_drop(job_of(n));
	return 0;
}

SEC("tc") __accept
int pop_back(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_list_pop_back(&head_a);
	bpf_spin_unlock(&lock_a);
	if (!n)
		return 0;
	job_of(n)->cost = 1;
	bpf_obj_drop(job_of(n));
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int pop_leak(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_list_pop_front(&head_a);
	bpf_spin_unlock(&lock_a);
	if (!n)
		return 0;
	job_of(n)->cost = 1;
	return 0;
}

SEC("tc") __reject("must be held for bpf_list_head")
int pop_without_lock(struct __sk_buff *ctx)
{
	struct bpf_list_node *n = bpf_list_pop_front(&head_a);

	if (!n)
		return 0;
	bpf_obj_drop(job_of(n));
	return 0;
}

SEC("tc") __reject("must be held for bpf_list_head")
int pop_under_other_lock(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_b);
	n = bpf_list_pop_front(&head_a);
	bpf_spin_unlock(&lock_b);
	if (!n)
		return 0;
	bpf_obj_drop(job_of(n));
	return 0;
}

SEC("tc") __reject("pointer arithmetic on ptr_or_null_ prohibited, null-check it")
int pop_unchecked(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_list_pop_front(&head_a);
	bpf_spin_unlock(&lock_a);
	bpf_obj_drop(job_of(n));
	return 0;
}

SEC("tc") __reject("must have zero offset when passed to release func or trusted")
int pop_drop_of_the_node(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_list_pop_front(&head_a);
	bpf_spin_unlock(&lock_a);
	if (!n)
		return 0;
	bpf_obj_drop(n);
	return 0;
}

SEC("tc") __reject("function calls are not allowed while holding a lock")
int pop_drop_under_lock(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_list_pop_front(&head_a);
	if (n)
		bpf_obj_drop(job_of(n));
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("is ptr_job invalid negative access: off=-8")
int pop_access_before_the_object(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_list_pop_front(&head_a);
	bpf_spin_unlock(&lock_a);
	if (!n)
		return 0;
	*((volatile __u64 *)n - 2) = 1;
	bpf_obj_drop(job_of(n));
	return 0;
}

SEC("tc") __accept
int pop_access_member_before_the_node(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_list_pop_front(&head_a);
	bpf_spin_unlock(&lock_a);
	if (!n)
		return 0;
	*((volatile __u64 *)n - 1) = 1;
	bpf_obj_drop(job_of(n));
	return 0;
}

SEC("tc") __accept
int pop_and_push_to_the_other(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_list_pop_front(&head_a);
	if (n)
		bpf_list_push_back(&other_a, n);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("dereference of modified ptr_or_null_ ptr")
int pop_and_push_to_the_other_unchecked(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_list_pop_front(&head_a);
	bpf_list_push_back(&other_a, n);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int pop_and_push_under_another_lock(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_list_pop_front(&head_a);
	bpf_spin_unlock(&lock_a);
	if (!n)
		return 0;
	bpf_spin_lock(&lock_b);
	bpf_list_push_back(&head_b, n);
	bpf_spin_unlock(&lock_b);
	return 0;
}

SEC("tc") __accept
int pop_from_value(struct __sk_buff *ctx)
{
	struct queue *q = a_queue();
	struct bpf_list_node *n;

	if (!q)
		return 0;
	bpf_spin_lock(&q->lock);
	n = bpf_list_pop_front(&q->head);
	bpf_spin_unlock(&q->lock);
	if (n)
		bpf_obj_drop(job_of(n));
	return 0;
}

SEC("tc") __reject("must be held for bpf_list_head")
int pop_from_value_under_lock_of_other_lookup(struct __sk_buff *ctx)
{
	struct queue *q = a_queue(), *r = a_queue();
	struct bpf_list_node *n;

	if (!q || !r)
		return 0;
	bpf_spin_lock(&r->lock);
	n = bpf_list_pop_front(&q->head);
	bpf_spin_unlock(&r->lock);
	if (n)
		bpf_obj_drop(job_of(n));
	return 0;
}

/* ------------------------------------------------------------------------- front and back */

SEC("tc") __accept
int peek(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;
	__u64 cost = 0;

	bpf_spin_lock(&lock_a);
	n = bpf_list_front(&head_a);
	if (n)
		cost = job_of(n)->cost;
	bpf_spin_unlock(&lock_a);
	return cost & 1;
}

SEC("tc") __accept
int peek_back_and_write(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_list_back(&head_a);
	if (n)
		job_of(n)->cost = 1;
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("invalid mem access 'ptr_or_null_'")
int peek_unchecked(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_list_front(&head_a);
	job_of(n)->cost = 1;
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("must be held for bpf_list_head")
int peek_without_lock(struct __sk_buff *ctx)
{
	struct bpf_list_node *n = bpf_list_front(&head_a);

	if (n)
		job_of(n)->cost = 1;
	return 0;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int peek_used_after_unlock(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_list_front(&head_a);
	if (!n) {
		bpf_spin_unlock(&lock_a);
		return 0;
	}
	bpf_spin_unlock(&lock_a);
	return job_of(n)->cost & 1;
}

SEC("tc") __reject("must be referenced or trusted")
int peek_then_drop(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_list_front(&head_a);
	bpf_spin_unlock(&lock_a);
	if (n)
		bpf_obj_drop(job_of(n));
	return 0;
}

SEC("tc") __reject("arg#1 expected pointer to allocated object")
int peek_then_push(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;

	bpf_spin_lock(&lock_a);
	n = bpf_list_front(&head_a);
	if (n)
		bpf_list_push_back(&other_a, n);
	bpf_spin_unlock(&lock_a);
	return 0;
}

/* What was seen may be popped, but nobody can drop it before the lock is released. */
SEC("tc") __accept
int peek_then_pop_then_use(struct __sk_buff *ctx)
{
	struct bpf_list_node *n, *m;

	bpf_spin_lock(&lock_a);
	n = bpf_list_front(&head_a);
	if (!n) {
		bpf_spin_unlock(&lock_a);
		return 0;
	}
	m = bpf_list_pop_front(&head_a);
	*(volatile __u64 *)&job_of(n)->cost = 1;
	bpf_spin_unlock(&lock_a);
	if (m)
		bpf_obj_drop(job_of(m));
	return 0;
}

SEC("tc") __accept
int peek_then_use_then_pop(struct __sk_buff *ctx)
{
	struct bpf_list_node *n, *m;

	bpf_spin_lock(&lock_a);
	n = bpf_list_front(&head_a);
	if (!n) {
		bpf_spin_unlock(&lock_a);
		return 0;
	}
	*(volatile __u64 *)&job_of(n)->cost = 1;
	m = bpf_list_pop_front(&head_a);
	bpf_spin_unlock(&lock_a);
	if (m)
		bpf_obj_drop(job_of(m));
	return 0;
}

SEC("tc") __accept
int two_peeks(struct __sk_buff *ctx)
{
	struct bpf_list_node *n, *m;

	bpf_spin_lock(&lock_a);
	n = bpf_list_front(&head_a);
	m = bpf_list_back(&head_a);
	if (n && m)
		*(volatile __u64 *)&job_of(n)->cost = job_of(m)->cost;
	bpf_spin_unlock(&lock_a);
	return 0;
}

/* ---------------------------------------------------------------------------- direct access */

SEC("tc") __reject("bpf_list_head cannot be accessed directly by load/store")
int read_the_head(struct __sk_buff *ctx)
{
	return *(volatile __u64 *)&head_a & 1;
}

SEC("tc") __reject("direct access to bpf_list_node is disallowed")
int write_the_node_of_a_new_object(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	*(volatile __u64 *)&j->node = 0;
	bpf_obj_drop(j);
	return 0;
}

SEC("tc") __accept
int write_beside_the_node_of_a_new_object(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	*(volatile __u32 *)&j->tag = 0;
	bpf_obj_drop(j);
	return 0;
}

/* ------------------------------------------------------------------------------- in loops */

SEC("tc") __accept
int push_in_loop(struct __sk_buff *ctx)
{
	for (int i = 0; i < 4; i++) {
		struct job *j = bpf_obj_new(struct job);

		if (!j)
			break;
		bpf_spin_lock(&lock_a);
		bpf_list_push_front(&head_a, &j->node);
		bpf_spin_unlock(&lock_a);
	}
	return 0;
}

SEC("tc") __accept
int drain_in_loop(struct __sk_buff *ctx)
{
	for (int i = 0; i < 4; i++) {
		struct bpf_list_node *n;

		bpf_spin_lock(&lock_a);
		n = bpf_list_pop_front(&head_a);
		bpf_spin_unlock(&lock_a);
		if (!n)
			break;
		bpf_obj_drop(job_of(n));
	}
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int drain_in_loop_last_lost(struct __sk_buff *ctx)
{
	for (int i = 0; i < 4; i++) {
		struct bpf_list_node *n;

		bpf_spin_lock(&lock_a);
		n = bpf_list_pop_front(&head_a);
		bpf_spin_unlock(&lock_a);
		if (!n || i == 3)
			break;
		bpf_obj_drop(job_of(n));
	}
	return 0;
}

SEC("tc") __accept
int pop_many_under_one_lock(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;
	int i;

	bpf_spin_lock(&lock_a);
	bpf_for(i, 0, 10) {
		n = bpf_list_pop_front(&head_a);
		if (!n)
			break;
		bpf_list_push_back(&other_a, n);
	}
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("must be held for bpf_list_head")
int push_and_pop_of_another_lock(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);
	struct bpf_list_node *n;

	if (!j)
		return 0;
	bpf_spin_lock(&lock_b);
	bpf_list_push_front(&head_b, &j->node);
	n = bpf_list_pop_front(&head_a);
	bpf_spin_unlock(&lock_b);
	if (n)
		bpf_obj_drop(job_of(n));
	return 0;
}

SEC("tc") __accept
int pop_of_both_lists_of_a_lock(struct __sk_buff *ctx)
{
	struct bpf_list_node *n, *m;

	bpf_spin_lock(&lock_a);
	n = bpf_list_pop_front(&head_a);
	m = bpf_list_pop_front(&other_a);
	bpf_spin_unlock(&lock_a);
	if (n)
		bpf_obj_drop(job_of(n));
	if (m)
		bpf_obj_drop(job_of(m));
	return 0;
}

static __noinline void enqueue(struct job *j)
{
	bpf_list_push_back(&head_a, &j->node);
}

SEC("tc") __accept
int push_in_callee(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	bpf_spin_lock(&lock_a);
	enqueue(j);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("must be held for bpf_list_head")
int push_in_callee_without_lock(struct __sk_buff *ctx)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	enqueue(j);
	return 0;
}
