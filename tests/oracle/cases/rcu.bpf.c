/* SPDX-License-Identifier: Apache-2.0 */
/* RCU read sections, and objects that live at least as long as one. */
#include "oracle.h"

struct leaf {
	__u64 area;
	__u32 veins;
};

struct twig {
	__u64 length;
	struct leaf __kptr *leaf;
};

__kptr_type(struct leaf);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct twig);
} twigs SEC(".maps");

private(A) struct bpf_spin_lock lock_a;

static __always_inline struct twig *a_twig(void)
{
	__u32 key = bpf_get_prandom_u32();

	return bpf_map_lookup_elem(&twigs, &key);
}

/* -------------------------------------------------------------------------------- nesting */

SEC("syscall") __accept
int lock_unlock(void *ctx)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __reject("BPF_EXIT instruction in main prog cannot be used inside")
int lock_only(void *ctx)
{
	bpf_rcu_read_lock();
	return 0;
}

SEC("syscall") __reject("unmatched rcu read unlock")
int unlock_only(void *ctx)
{
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __reject("unmatched rcu read unlock")
int unlock_twice(void *ctx)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __reject("nested rcu read lock")
int nested(void *ctx)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __accept
int one_after_the_other(void *ctx)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return 0;
}

SEC("tc") __accept
int in_tc(struct __sk_buff *ctx)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return 0;
}

SEC("tc") __reject("BPF_EXIT instruction in main prog cannot be used inside")
int in_tc_lock_only(struct __sk_buff *ctx)
{
	bpf_rcu_read_lock();
	return 0;
}

SEC("syscall") __reject("BPF_EXIT instruction in main prog cannot be used inside")
int unlock_on_one_branch(void *ctx)
{
	bpf_rcu_read_lock();
	if (bpf_get_prandom_u32() > 100)
		bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __accept
int unlock_on_both_branches(void *ctx)
{
	bpf_rcu_read_lock();
	if (bpf_get_prandom_u32() > 100) {
		bpf_rcu_read_unlock();
		return 1;
	}
	bpf_rcu_read_unlock();
	return 0;
}

static __noinline int enter(void)
{
	bpf_rcu_read_lock();
	return bpf_get_prandom_u32() & 1;
}

static __noinline int leave(void)
{
	bpf_rcu_read_unlock();
	return bpf_get_prandom_u32() & 1;
}

SEC("syscall") __accept
int left_by_callee(void *ctx)
{
	bpf_rcu_read_lock();
	return leave();
}

SEC("syscall") __accept
int entered_by_callee(void *ctx)
{
	int n = enter();

	bpf_rcu_read_unlock();
	return n;
}

SEC("syscall") __reject("BPF_EXIT instruction in main prog cannot be used inside")
int entered_by_callee_only(void *ctx)
{
	return enter();
}

SEC("syscall") __reject("unmatched rcu read unlock")
int left_by_callee_never_entered(void *ctx)
{
	return leave();
}

__noinline int harmless(int n)
{
	return n + 1;
}

SEC("syscall") __accept
int global_function_inside(void *ctx)
{
	int n;

	bpf_rcu_read_lock();
	n = harmless(1);
	bpf_rcu_read_unlock();
	return n;
}

/* ------------------------------------------------------------------------ what is not allowed */

SEC("syscall") __reject("sleepable helper bpf_copy_from_user#148 in rcu_read_lock region")
int sleep_inside(void *ctx)
{
	char buf[8];

	bpf_rcu_read_lock();
	bpf_copy_from_user(buf, sizeof(buf), NULL);
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __accept
int sleep_before(void *ctx)
{
	char buf[8];

	bpf_copy_from_user(buf, sizeof(buf), NULL);
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __accept
int sleep_after(void *ctx)
{
	char buf[8];

	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	bpf_copy_from_user(buf, sizeof(buf), NULL);
	return 0;
}

SEC("syscall") __accept
int harmless_helper_inside(void *ctx)
{
	__u64 now;

	bpf_rcu_read_lock();
	now = bpf_ktime_get_ns();
	bpf_rcu_read_unlock();
	return now & 1;
}

SEC("syscall") __accept
int spin_lock_inside(void *ctx)
{
	bpf_rcu_read_lock();
	bpf_spin_lock(&lock_a);
	bpf_spin_unlock(&lock_a);
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __reject("function calls are not allowed while holding a lock")
int inside_spin_lock(void *ctx)
{
	bpf_spin_lock(&lock_a);
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("syscall") __accept
int allocate_inside(void *ctx)
{
	struct leaf *l;

	bpf_rcu_read_lock();
	l = bpf_obj_new(struct leaf);
	if (l)
		bpf_obj_drop(l);
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __accept
int owned_across_the_end(void *ctx)
{
	struct leaf *l;

	bpf_rcu_read_lock();
	l = bpf_obj_new(struct leaf);
	bpf_rcu_read_unlock();
	if (!l)
		return 0;
	l->area = 1;
	bpf_obj_drop(l);
	return 0;
}

/* --------------------------------------------------------------- pointers read from a kptr */

SEC("syscall") __accept
int read_inside(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;
	__u64 area = 0;

	if (!t)
		return 0;
	bpf_rcu_read_lock();
	l = t->leaf;
	if (l)
		area = l->area;
	bpf_rcu_read_unlock();
	return area & 1;
}

SEC("syscall") __reject("invalid mem access 'rcu_ptr_or_null_'")
int read_inside_unchecked(void *ctx)
{
	struct twig *t = a_twig();
	__u64 area;

	if (!t)
		return 0;
	bpf_rcu_read_lock();
	area = *(volatile __u64 *)&t->leaf->area;
	bpf_rcu_read_unlock();
	return area & 1;
}

SEC("syscall") __accept
int write_inside(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	bpf_rcu_read_lock();
	l = t->leaf;
	if (l)
		*(volatile __u64 *)&l->area = 1;
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __reject("only read is supported")
int write_outside(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	l = t->leaf;
	if (l)
		*(volatile __u64 *)&l->area = 1;
	return 0;
}

/* When the section ends, the pointer remains, untrusted, and of no use. */
SEC("syscall") __reject("verifier bug: ref_obj_id for allocated object must be non-zero")
int read_after_the_end(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	bpf_rcu_read_lock();
	l = t->leaf;
	bpf_rcu_read_unlock();
	if (!l)
		return 0;
	return *(volatile __u64 *)&l->area & 1;
}

SEC("syscall") __accept
int compared_after_the_end(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	bpf_rcu_read_lock();
	l = t->leaf;
	bpf_rcu_read_unlock();
	return l ? 1 : 0;
}

SEC("syscall") __reject("only read is supported")
int write_after_the_end(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	bpf_rcu_read_lock();
	l = t->leaf;
	if (!l) {
		bpf_rcu_read_unlock();
		return 0;
	}
	bpf_rcu_read_unlock();
	*(volatile __u64 *)&l->area = 1;
	return 0;
}

SEC("syscall") __accept
int write_before_the_end(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	bpf_rcu_read_lock();
	l = t->leaf;
	if (!l) {
		bpf_rcu_read_unlock();
		return 0;
	}
	*(volatile __u64 *)&l->area = 1;
	bpf_rcu_read_unlock();
	return 0;
}

/* The next section does not give the pointer of the last one its trust back. */
SEC("syscall") __reject("only read is supported")
int write_in_the_next_section(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	bpf_rcu_read_lock();
	l = t->leaf;
	bpf_rcu_read_unlock();
	bpf_rcu_read_lock();
	if (l)
		*(volatile __u64 *)&l->area = 1;
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __accept
int read_again_in_the_next_section(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	bpf_rcu_read_lock();
	l = t->leaf;
	if (l)
		*(volatile __u64 *)&l->area = 1;
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __reject("must be referenced or trusted")
int drop_what_was_read(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	bpf_rcu_read_lock();
	l = t->leaf;
	if (l)
		bpf_obj_drop(l);
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __reject("access beyond struct leaf")
int read_past_the_end_of_object(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;
	__u64 n = 0;

	if (!t)
		return 0;
	bpf_rcu_read_lock();
	l = t->leaf;
	if (l)
		n = *((volatile __u64 *)l + 2);
	bpf_rcu_read_unlock();
	return n & 1;
}

/* A spin lock keeps grace periods off too. */
SEC("syscall") __accept
int read_under_spin_lock_written(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	bpf_spin_lock(&lock_a);
	l = t->leaf;
	if (l)
		*(volatile __u64 *)&l->area = 1;
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("syscall") __reject("only read is supported")
int read_before_spin_lock_written(void *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	l = t->leaf;
	barrier_var(l);
	bpf_spin_lock(&lock_a);
	if (l)
		*(volatile __u64 *)&l->area = 1;
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int tc_needs_no_section(struct __sk_buff *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	l = t->leaf;
	if (l)
		*(volatile __u64 *)&l->area = 1;
	return 0;
}

/* The end of an explicit section is the end, even where all of the program is one. */
SEC("tc") __reject("only read is supported")
int tc_write_after_the_end(struct __sk_buff *ctx)
{
	struct twig *t = a_twig();
	struct leaf *l;

	if (!t)
		return 0;
	bpf_rcu_read_lock();
	l = t->leaf;
	bpf_rcu_read_unlock();
	if (l)
		*(volatile __u64 *)&l->area = 1;
	return 0;
}

static int step(__u32 i, void *ctx)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return 0;
}

static int step_in(__u32 i, void *ctx)
{
	bpf_rcu_read_lock();
	return 0;
}

SEC("syscall") __accept
int section_in_callback(void *ctx)
{
	bpf_loop(10, step, NULL, 0);
	return 0;
}

SEC("syscall") __reject("unmatched rcu read unlock")
int section_entered_in_callback(void *ctx)
{
	bpf_loop(10, step_in, NULL, 0);
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __accept
int callback_inside_section(void *ctx)
{
	int i, sum = 0;

	bpf_rcu_read_lock();
	bpf_for(i, 0, 10)
		sum += i;
	bpf_rcu_read_unlock();
	return sum & 1;
}

SEC("syscall") __reject("unmatched rcu read unlock")
int section_in_loop_left_open(void *ctx)
{
	int i;

	bpf_for(i, 0, 10)
		bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __accept
int section_in_loop(void *ctx)
{
	int i;

	bpf_for(i, 0, 10) {
		bpf_rcu_read_lock();
		bpf_rcu_read_unlock();
	}
	return 0;
}
