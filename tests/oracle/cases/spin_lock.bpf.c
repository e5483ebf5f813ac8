/* SPDX-License-Identifier: Apache-2.0 */
/* bpf_spin_lock: in values of maps, in globals, in objects. */
#include "oracle.h"

struct ledger {
	__u64 sum;
	struct bpf_spin_lock lock;
	__u32 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct ledger);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct ledger);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} plain SEC(".maps");

struct account {
	__u64 balance;
	struct bpf_spin_lock lock;
};

private(A) struct bpf_spin_lock lock_a;
private(A) __u64 sum_a;
private(B) struct bpf_spin_lock lock_b;

static __always_inline struct ledger *page(void *map)
{
	__u32 key = bpf_get_prandom_u32();

	return bpf_map_lookup_elem(map, &key);
}

/* ------------------------------------------------------------------------ values of maps */

SEC("tc") __accept
int value_lock_unlock(struct __sk_buff *ctx)
{
	struct ledger *l = page(&array);

	if (!l)
		return 0;
	bpf_spin_lock(&l->lock);
	l->sum++;
	bpf_spin_unlock(&l->lock);
	return 0;
}

SEC("tc") __reject("BPF_EXIT instruction in main prog cannot be used inside")
int value_lock_only(struct __sk_buff *ctx)
{
	struct ledger *l = page(&array);

	if (!l)
		return 0;
	bpf_spin_lock(&l->lock);
	l->sum++;
	return 0;
}

SEC("tc") __reject("bpf_spin_unlock without taking a lock")
int value_unlock_only(struct __sk_buff *ctx)
{
	struct ledger *l = page(&array);

	if (!l)
		return 0;
	l->sum++;
	bpf_spin_unlock(&l->lock);
	return 0;
}

SEC("tc") __reject("function calls are not allowed while holding a lock")
int value_lock_twice(struct __sk_buff *ctx)
{
	struct ledger *l = page(&array);

	if (!l)
		return 0;
	bpf_spin_lock(&l->lock);
	bpf_spin_lock(&l->lock);
	l->sum++;
	bpf_spin_unlock(&l->lock);
	return 0;
}

SEC("tc") __reject("bpf_spin_unlock without taking a lock")
int value_unlock_twice(struct __sk_buff *ctx)
{
	struct ledger *l = page(&array);

	if (!l)
		return 0;
	bpf_spin_lock(&l->lock);
	l->sum++;
	bpf_spin_unlock(&l->lock);
	bpf_spin_unlock(&l->lock);
	return 0;
}

SEC("tc") __accept
int value_lock_again(struct __sk_buff *ctx)
{
	struct ledger *l = page(&array);

	if (!l)
		return 0;
	bpf_spin_lock(&l->lock);
	l->sum++;
	bpf_spin_unlock(&l->lock);
	bpf_spin_lock(&l->lock);
	l->sum++;
	bpf_spin_unlock(&l->lock);
	return 0;
}

SEC("tc") __reject("pointer arithmetic on map_value_or_null prohibited, null-check")
int value_unchecked(struct __sk_buff *ctx)
{
	struct ledger *l = page(&hash);

	bpf_spin_lock(&l->lock);
	bpf_spin_unlock(&l->lock);
	return 0;
}

SEC("tc") __accept
int value_of_hash(struct __sk_buff *ctx)
{
	struct ledger *l = page(&hash);

	if (!l)
		return 0;
	bpf_spin_lock(&l->lock);
	bpf_spin_unlock(&l->lock);
	return 0;
}

SEC("tc") __reject("off 0 doesn't point to 'struct bpf_spin_lock' that is at 8")
int value_at_wrong_offset(struct __sk_buff *ctx)
{
	struct ledger *l = page(&array);

	if (!l)
		return 0;
	bpf_spin_lock((void *)&l->sum);
	bpf_spin_unlock((void *)&l->sum);
	return 0;
}

SEC("tc") __reject("map 'plain' has no valid bpf_spin_lock")
int value_without_a_lock(struct __sk_buff *ctx)
{
	void *v = page(&plain);

	if (!v)
		return 0;
	bpf_spin_lock(v);
	bpf_spin_unlock(v);
	return 0;
}

SEC("tc") __reject("doesn't have constant offset. bpf_spin_lock has to be at the")
int value_at_variable_offset(struct __sk_buff *ctx)
{
	struct ledger *l = page(&array);
	__u64 off = ctx->len & 8;
	struct bpf_spin_lock *lock;

	if (!l)
		return 0;
	barrier_var(off);
	lock = (void *)l + off;
	bpf_spin_lock(lock);
	bpf_spin_unlock(lock);
	return 0;
}

SEC("tc") __reject("type=fp expected=map_value, ptr_")
int on_the_stack(struct __sk_buff *ctx)
{
	struct bpf_spin_lock lock = {};

	bpf_spin_lock(&lock);
	bpf_spin_unlock(&lock);
	return 0;
}

/* Two lookups of one key: the verifier knows each value by its lookup alone. */
SEC("tc") __reject("bpf_spin_unlock of different lock")
int value_of_other_lookup(struct __sk_buff *ctx)
{
	struct ledger *l = page(&hash), *m = page(&hash);

	if (!l || !m)
		return 0;
	bpf_spin_lock(&l->lock);
	bpf_spin_unlock(&m->lock);
	return 0;
}

SEC("tc") __accept
int value_of_one_lookup_after_the_other(struct __sk_buff *ctx)
{
	struct ledger *l = page(&hash), *m = page(&hash);

	if (!l || !m)
		return 0;
	bpf_spin_lock(&l->lock);
	bpf_spin_unlock(&l->lock);
	bpf_spin_lock(&m->lock);
	bpf_spin_unlock(&m->lock);
	return 0;
}

SEC("tc") __reject("function calls are not allowed while holding a lock")
int value_two_locks_at_once(struct __sk_buff *ctx)
{
	struct ledger *l = page(&hash), *m = page(&array);

	if (!l || !m)
		return 0;
	bpf_spin_lock(&l->lock);
	bpf_spin_lock(&m->lock);
	bpf_spin_unlock(&m->lock);
	bpf_spin_unlock(&l->lock);
	return 0;
}

SEC("tc") __reject("bpf_spin_lock cannot be accessed directly by load/store")
int value_read_the_lock(struct __sk_buff *ctx)
{
	struct ledger *l = page(&array);

	if (!l)
		return 0;
	return *(volatile __u32 *)&l->lock;
}

SEC("tc") __accept
int value_read_beside_the_lock(struct __sk_buff *ctx)
{
	struct ledger *l = page(&array);

	if (!l)
		return 0;
	return *(volatile __u32 *)&l->count;
}

SEC("tc") __reject("bpf_spin_lock cannot be accessed directly by load/store")
int value_write_across_the_lock(struct __sk_buff *ctx)
{
	struct ledger *l = page(&array);

	if (!l)
		return 0;
	*(volatile __u64 *)&l->lock = 0;
	return 0;
}

/* ------------------------------------------------------------------------------- globals */

SEC("tc") __accept
int global_lock(struct __sk_buff *ctx)
{
	bpf_spin_lock(&lock_a);
	sum_a++;
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("BPF_EXIT instruction in main prog cannot be used inside")
int global_lock_only(struct __sk_buff *ctx)
{
	bpf_spin_lock(&lock_a);
	sum_a++;
	return 0;
}

SEC("tc") __reject("bpf_spin_unlock of different lock")
int global_other_unlock(struct __sk_buff *ctx)
{
	bpf_spin_lock(&lock_a);
	sum_a++;
	bpf_spin_unlock(&lock_b);
	return 0;
}

SEC("tc") __accept
int global_one_after_the_other(struct __sk_buff *ctx)
{
	bpf_spin_lock(&lock_a);
	bpf_spin_unlock(&lock_a);
	bpf_spin_lock(&lock_b);
	bpf_spin_unlock(&lock_b);
	return 0;
}

SEC("tc") __reject("function calls are not allowed while holding a lock")
int global_both_at_once(struct __sk_buff *ctx)
{
	bpf_spin_lock(&lock_a);
	bpf_spin_lock(&lock_b);
	bpf_spin_unlock(&lock_b);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("function calls are not allowed while holding a lock")
int global_and_value_at_once(struct __sk_buff *ctx)
{
	struct ledger *l = page(&array);

	if (!l)
		return 0;
	bpf_spin_lock(&lock_a);
	bpf_spin_lock(&l->lock);
	bpf_spin_unlock(&l->lock);
	bpf_spin_unlock(&lock_a);
	return 0;
}

/* ------------------------------------------------------------------------------- objects */

SEC("tc") __accept
int object_lock(struct __sk_buff *ctx)
{
	struct account *a = bpf_obj_new(struct account);

	if (!a)
		return 0;
	bpf_spin_lock(&a->lock);
	a->balance = 1;
	bpf_spin_unlock(&a->lock);
	bpf_obj_drop(a);
	return 0;
}

SEC("tc") __reject("pointer arithmetic on ptr_or_null_ prohibited, null-check it")
int object_lock_unchecked(struct __sk_buff *ctx)
{
	struct account *a = bpf_obj_new(struct account);

	bpf_spin_lock(&a->lock);
	bpf_spin_unlock(&a->lock);
	if (a)
		bpf_obj_drop(a);
	return 0;
}

SEC("tc") __reject("bpf_spin_unlock of different lock")
int object_lock_of_another(struct __sk_buff *ctx)
{
	struct account *a = bpf_obj_new(struct account), *b;

	if (!a)
		return 0;
	b = bpf_obj_new(struct account);
	if (b) {
		bpf_spin_lock(&a->lock);
		bpf_spin_unlock(&b->lock);
		bpf_obj_drop(b);
	}
	bpf_obj_drop(a);
	return 0;
}

SEC("tc") __accept
int object_locks_one_after_the_other(struct __sk_buff *ctx)
{
	struct account *a = bpf_obj_new(struct account), *b;

	if (!a)
		return 0;
	b = bpf_obj_new(struct account);
	if (b) {
		bpf_spin_lock(&a->lock);
		bpf_spin_unlock(&a->lock);
		bpf_spin_lock(&b->lock);
		bpf_spin_unlock(&b->lock);
		bpf_obj_drop(b);
	}
	bpf_obj_drop(a);
	return 0;
}

SEC("tc") __reject("function calls are not allowed while holding a lock")
int object_dropped_under_its_lock(struct __sk_buff *ctx)
{
	struct account *a = bpf_obj_new(struct account);

	if (!a)
		return 0;
	bpf_spin_lock(&a->lock);
	bpf_obj_drop(a);
	bpf_spin_unlock(&a->lock);
	return 0;
}

SEC("tc") __reject("direct access to bpf_spin_lock is disallowed")
int object_write_the_lock(struct __sk_buff *ctx)
{
	struct account *a = bpf_obj_new(struct account);

	if (!a)
		return 0;
	*(volatile __u32 *)&a->lock = 0;
	bpf_obj_drop(a);
	return 0;
}

/* ------------------------------------------------------------- what is done under a lock */

SEC("tc") __reject("function calls are not allowed while holding a lock")
int helper_under_lock(struct __sk_buff *ctx)
{
	bpf_spin_lock(&lock_a);
	sum_a = bpf_ktime_get_ns();
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int helper_before_lock(struct __sk_buff *ctx)
{
	__u64 now = bpf_ktime_get_ns();

	bpf_spin_lock(&lock_a);
	sum_a = now;
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("function calls are not allowed while holding a lock")
int allocation_under_lock(struct __sk_buff *ctx)
{
	struct account *a;

	bpf_spin_lock(&lock_a);
	a = bpf_obj_new(struct account);
	bpf_spin_unlock(&lock_a);
	if (a)
		bpf_obj_drop(a);
	return 0;
}

SEC("tc") __accept
int allocation_after_lock(struct __sk_buff *ctx)
{
	struct account *a;

	bpf_spin_lock(&lock_a);
	bpf_spin_unlock(&lock_a);
	a = bpf_obj_new(struct account);
	if (a)
		bpf_obj_drop(a);
	return 0;
}

SEC("tc") __reject("function calls are not allowed while holding a lock")
int lookup_under_lock(struct __sk_buff *ctx)
{
	__u32 key = 0;
	void *v;

	bpf_spin_lock(&lock_a);
	v = bpf_map_lookup_elem(&hash, &key);
	bpf_spin_unlock(&lock_a);
	return v != NULL;
}

static __noinline __u64 twice(__u64 n)
{
	return n * 2;
}

SEC("tc") __accept
int static_call_under_lock(struct __sk_buff *ctx)
{
	bpf_spin_lock(&lock_a);
	sum_a = twice(sum_a);
	bpf_spin_unlock(&lock_a);
	return 0;
}

__noinline __u64 thrice(__u64 n)
{
	return n * 3;
}

SEC("tc") __reject("use static function instead")
int global_call_under_lock(struct __sk_buff *ctx)
{
	bpf_spin_lock(&lock_a);
	sum_a = thrice(sum_a);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int global_call_after_lock(struct __sk_buff *ctx)
{
	__u64 sum;

	bpf_spin_lock(&lock_a);
	sum = sum_a;
	bpf_spin_unlock(&lock_a);
	return thrice(sum) & 1;
}

static __noinline void unlock_a(void)
{
	bpf_spin_unlock(&lock_a);
}

SEC("tc") __accept
int unlocked_by_callee(struct __sk_buff *ctx)
{
	bpf_spin_lock(&lock_a);
	sum_a++;
	unlock_a();
	return 0;
}

static __noinline void lock_in_callee(struct ledger *l)
{
	bpf_spin_lock(&l->lock);
	l->sum++;
}

SEC("tc") __accept
int locked_by_callee(struct __sk_buff *ctx)
{
	struct ledger *l = page(&array);

	if (!l)
		return 0;
	lock_in_callee(l);
	bpf_spin_unlock(&l->lock);
	return 0;
}

SEC("tc") __reject("BPF_EXIT instruction in main prog cannot be used inside")
int locked_by_callee_only(struct __sk_buff *ctx)
{
	struct ledger *l = page(&array);

	if (!l)
		return 0;
	lock_in_callee(l);
	return 0;
}

SEC("tc") __accept
int branches_under_lock(struct __sk_buff *ctx)
{
	__u32 len = ctx->len;

	bpf_spin_lock(&lock_a);
	if (len > 100)
		sum_a++;
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("BPF_EXIT instruction in main prog cannot be used inside")
int exit_on_one_branch_under_lock(struct __sk_buff *ctx)
{
	__u32 len = ctx->len;

	bpf_spin_lock(&lock_a);
	if (len > 100)
		return 0;
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int loop_under_lock(struct __sk_buff *ctx)
{
	bpf_spin_lock(&lock_a);
	for (int i = 0; i < 10; i++)
		*(volatile __u64 *)&sum_a += i;
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __accept
int lock_in_loop(struct __sk_buff *ctx)
{
	for (int i = 0; i < 10; i++) {
		bpf_spin_lock(&lock_a);
		sum_a += i;
		bpf_spin_unlock(&lock_a);
	}
	return 0;
}

SEC("tc") __reject("function calls are not allowed while holding a lock")
int lock_in_loop_not_released(struct __sk_buff *ctx)
{
	for (int i = 0; i < 10; i++) {
		bpf_spin_lock(&lock_a);
		*(volatile __u64 *)&sum_a += i;
	}
	bpf_spin_unlock(&lock_a);
	return 0;
}

/* ------------------------------------------------------------------ where locks may be used */

SEC("socket") __reject("socket filter progs cannot use bpf_spin_lock yet")
int from_socket_filter(struct __sk_buff *ctx)
{
	bpf_spin_lock(&lock_a);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("xdp") __accept
int from_xdp(struct xdp_md *ctx)
{
	bpf_spin_lock(&lock_a);
	bpf_spin_unlock(&lock_a);
	return XDP_PASS;
}

SEC("raw_tp/sys_enter") __reject("tracing progs cannot use bpf_spin_lock yet")
int from_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	bpf_spin_lock(&lock_a);
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("syscall") __accept
int from_syscall(void *ctx)
{
	bpf_spin_lock(&lock_a);
	sum_a++;
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("cgroup_skb/ingress") __accept
int from_cgroup_skb(struct __sk_buff *ctx)
{
	bpf_spin_lock(&lock_a);
	bpf_spin_unlock(&lock_a);
	return 1;
}
