/* SPDX-License-Identifier: Apache-2.0 */
/* Where programs may throw: what they hold, what they return, and who calls them. */
#include "oracle.h"

#define global __weak __noinline
#define THROWS "bpf_throw would lead to reference leak"
#define SECTION "bpf_throw cannot be used inside bpf_rcu_read_lock-ed region"
#define CALLED_BACK "cannot be called from callback subprog"
#define later __kernel_accepts __reason("the function throws, and nobody gives it back; Linux 7.2 refuses it")

struct node {
	struct bpf_rb_node node;
	__u64 n;
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_rb_root tree __contains(node, node);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} others SEC(".maps");

#define chance (bpf_get_prandom_u32() & 1)

/* -------------------------------------------------------------- what is held */

SEC("tc") __accept
int nothing_held(void *ctx)
{
	bpf_throw(1);
	return 0;
}

SEC("tc") __reject(THROWS)
int object_held(void *ctx)
{
	struct node *n = bpf_obj_new(struct node);

	if (!n)
		return 0;
	bpf_throw(1);
	return 0;
}

SEC("tc") __accept
int object_dropped(void *ctx)
{
	struct node *n = bpf_obj_new(struct node);

	if (!n)
		return 0;
	bpf_obj_drop(n);
	bpf_throw(1);
	return 0;
}

SEC("tc") __accept
int object_that_was_null(void *ctx)
{
	struct node *n = bpf_obj_new(struct node);

	if (!n)
		bpf_throw(1);
	bpf_obj_drop(n);
	return 0;
}

SEC("tc") __reject(THROWS)
int record_held(void *ctx)
{
	__u64 *record = bpf_ringbuf_reserve(&ring, 8, 0);

	if (!record)
		return 0;
	if (chance)
		bpf_throw(1);
	bpf_ringbuf_discard(record, 0);
	return 0;
}

SEC("tc") __accept
int record_submitted(void *ctx)
{
	__u64 *record = bpf_ringbuf_reserve(&ring, 8, 0);

	if (!record)
		return 0;
	*record = 1;
	bpf_ringbuf_submit(record, 0);
	if (chance)
		bpf_throw(1);
	return 0;
}

SEC("tc") __reject(THROWS)
int iterator_open(void *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_new(&it, 0, 3);
	while (bpf_iter_num_next(&it))
		if (chance)
			bpf_throw(1);
	bpf_iter_num_destroy(&it);
	return 0;
}

SEC("tc") __accept
int iterator_closed(void *ctx)
{
	struct bpf_iter_num it;
	int n = 0;

	bpf_iter_num_new(&it, 0, 3);
	while (bpf_iter_num_next(&it))
		n += chance;
	bpf_iter_num_destroy(&it);
	bpf_assert(n < 3);
	return 0;
}

SEC("tc") __reject("function calls are not allowed while holding a lock")
int lock_held(void *ctx)
{
	bpf_spin_lock(&lock);
	bpf_throw(1);
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("tc") __accept
int lock_released(void *ctx)
{
	bpf_spin_lock(&lock);
	bpf_spin_unlock(&lock);
	bpf_throw(1);
	return 0;
}

SEC("tc") __reject(SECTION)
int section_open(void *ctx)
{
	bpf_rcu_read_lock();
	if (chance)
		bpf_throw(1);
	bpf_rcu_read_unlock();
	return 0;
}

SEC("tc") __accept
int section_closed(void *ctx)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	if (chance)
		bpf_throw(1);
	return 0;
}

/* -------------------------------------------------------------- static functions */

static __noinline int throws(int n)
{
	if (n > 3)
		bpf_throw(n);
	return n;
}

static __noinline int throws_deeper(int n)
{
	return throws(n + 1) + 1;
}

static __noinline int throws_holding(int n)
{
	struct node *held = bpf_obj_new(struct node);

	if (!held)
		return 0;
	n = throws(n);
	bpf_obj_drop(held);
	return n;
}

static __noinline struct node *gives(int n)
{
	struct node *made = bpf_obj_new(struct node);

	if (n)
		return made;
	if (made)
		bpf_obj_drop(made);
	return NULL;
}

SEC("tc") __accept
int static_function(void *ctx)
{
	return throws_deeper(chance);
}

SEC("tc") __reject(THROWS)
int caller_holds(void *ctx)
{
	struct node *n = bpf_obj_new(struct node);

	if (!n)
		return 0;
	throws_deeper(bpf_get_prandom_u32());
	bpf_obj_drop(n);
	return 0;
}

SEC("tc") __accept
int caller_holds_where_it_does_not_throw(void *ctx)
{
	struct node *n = bpf_obj_new(struct node);

	if (!n)
		return 0;
	throws_deeper(1);
	bpf_obj_drop(n);
	return 0;
}

SEC("tc") __reject(THROWS)
int function_holds(void *ctx)
{
	return throws_holding(bpf_get_prandom_u32());
}

SEC("tc") __reject(THROWS)
int given_object_held(void *ctx)
{
	struct node *n = gives(1);

	if (!n)
		return 0;
	throws(bpf_get_prandom_u32());
	bpf_obj_drop(n);
	return 0;
}

SEC("tc") __reject(SECTION)
int function_in_section(void *ctx)
{
	int n;

	bpf_rcu_read_lock();
	n = throws(bpf_get_prandom_u32());
	bpf_rcu_read_unlock();
	return n;
}

/* -------------------------------------------------------------- global functions */

global int throws_globally(int n)
{
	if (n > 3)
		bpf_throw(n);
	return n;
}

global int calls_what_throws(int n)
{
	return throws_globally(n) + 1;
}

global int throws_with_an_object(int n)
{
	struct node *held = bpf_obj_new(struct node);

	if (!held)
		return 0;
	throws(n);
	bpf_obj_drop(held);
	return n;
}

global int throws_never(int n)
{
	return n;
}

SEC("tc") __accept
int global_function(void *ctx)
{
	return calls_what_throws(chance);
}

SEC("tc") __reject(THROWS)
int global_function_holds(void *ctx)
{
	return throws_with_an_object(1);
}

SEC("tc") __reject(THROWS) later
int caller_of_global_holds(void *ctx)
{
	struct node *n = bpf_obj_new(struct node);

	if (!n)
		return 0;
	throws_globally(1);
	bpf_obj_drop(n);
	return 0;
}

SEC("tc") __reject(THROWS) later
int caller_of_two_holds(void *ctx)
{
	__u64 *record = bpf_ringbuf_reserve(&ring, 8, 0);

	if (!record)
		return 0;
	calls_what_throws(1);
	bpf_ringbuf_discard(record, 0);
	return 0;
}

SEC("tc") __accept
int caller_of_another_holds(void *ctx)
{
	struct node *n = bpf_obj_new(struct node);

	if (!n)
		return 0;
	throws_never(1);
	bpf_obj_drop(n);
	return 0;
}

SEC("tc") __reject(SECTION) later
int global_in_section(void *ctx)
{
	bpf_rcu_read_lock();
	calls_what_throws(1);
	bpf_rcu_read_unlock();
	return 0;
}

SEC("tc") __reject("global function calls are not allowed while holding a lock")
int global_under_lock(void *ctx)
{
	bpf_spin_lock(&lock);
	throws_globally(1);
	bpf_spin_unlock(&lock);
	return 0;
}

/* -------------------------------------------------------------- callbacks */

static int callback_throws(__u32 i, void *ctx)
{
	bpf_throw(i);
	return 0;
}

static int callback_calls(__u32 i, void *ctx)
{
	return throws(i) & 1;
}

static int callback_calls_globally(__u32 i, void *ctx)
{
	return throws_globally(i) & 1;
}

static int callback_stops(__u32 i, void *ctx)
{
	return i > 2;
}

static int for_each_throws(void *map, __u32 *key, __u64 *value, void *ctx)
{
	if (*value)
		bpf_throw(*value);
	return 0;
}

static _Bool less_throws(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	bpf_throw(0);
	return 1;
}

static int callback_has_another(__u32 i, void *ctx)
{
	bpf_loop(2, callback_throws, NULL, 0);
	return 0;
}

SEC("tc") __reject(CALLED_BACK)
int in_callback(void *ctx)
{
	bpf_loop(3, callback_throws, NULL, 0);
	return 0;
}

SEC("tc") __reject(CALLED_BACK)
int below_callback(void *ctx)
{
	bpf_loop(3, callback_calls, NULL, 0);
	return 0;
}

SEC("tc") __reject(CALLED_BACK)
int globally_below_callback(void *ctx)
{
	bpf_loop(3, callback_calls_globally, NULL, 0);
	return 0;
}

SEC("tc") __reject(CALLED_BACK)
int in_callback_of_callback(void *ctx)
{
	bpf_loop(3, callback_has_another, NULL, 0);
	return 0;
}

SEC("tc") __reject(CALLED_BACK)
int in_walk_over_map(void *ctx)
{
	bpf_for_each_map_elem(&numbers, for_each_throws, NULL, 0);
	return 0;
}

SEC("tc") __reject("function calls are not allowed while holding a lock")
int in_comparison(void *ctx)
{
	struct node *n = bpf_obj_new(struct node);

	if (!n)
		return 0;
	bpf_spin_lock(&lock);
	bpf_rbtree_add(&tree, &n->node, less_throws);
	bpf_spin_unlock(&lock);
	return 0;
}

SEC("tc") __accept
int after_callback(void *ctx)
{
	if (bpf_loop(9, callback_stops, NULL, 0) != 4)
		bpf_throw(1);
	return 0;
}

/* -------------------------------------------------------------- exception callbacks */

global int handles(__u64 cookie)
{
	return cookie + 1;
}

global int handles_small(int cookie)
{
	return cookie;
}

global int handles_nothing(void)
{
	return 0;
}

global int handles_two(__u64 a, __u64 b)
{
	return a + b;
}

global int handles_pointer(struct node *cookie)
{
	return 0;
}

global __u64 handles_in_range(__u64 cookie)
{
	return cookie & 1;
}

global void *handles_with_pointer(__u64 cookie)
{
	return NULL;
}

global int handles_and_throws(__u64 cookie)
{
	if (cookie)
		bpf_throw(1);
	return 0;
}

global int handles_by_others(__u64 cookie)
{
	return throws_never(cookie);
}

global int handles_by_what_throws(__u64 cookie)
{
	return throws_globally(cookie);
}

global int handles_and_leaks(__u64 cookie)
{
	bpf_obj_new(struct node);
	return 0;
}

global int handles_with_loop(__u64 cookie)
{
	return bpf_loop(3, callback_stops, NULL, 0);
}

static __noinline int handles_statically(__u64 cookie)
{
	use(cookie);
	return bpf_get_prandom_u32();
}

#define CASE(name, verdict, section, callback)          \
	SEC(section) __exception_cb(callback) verdict   \
	int name(void *ctx)                             \
	{                                               \
		if (chance)                             \
			bpf_throw(7);                   \
		return 0;                               \
	}

CASE(callback, __accept, "tc", handles)
CASE(callback_small, __accept, "tc", handles_small)
CASE(callback_of_nothing, __reject("exception cb only supports single integer argument"), "tc",
     handles_nothing)
CASE(callback_of_two, __reject("exception cb only supports single integer argument"), "tc",
     handles_two)
CASE(callback_of_pointer, __reject("exception cb only supports single integer argument"), "tc",
     handles_pointer)
CASE(callback_gives_pointer, __reject("doesn't return scalar"), "tc", handles_with_pointer)
CASE(callback_throws_itself, __reject(CALLED_BACK), "tc", handles_and_throws)
CASE(callback_calls_others, __accept, "tc", handles_by_others)
CASE(callback_calls_what_throws, __reject(CALLED_BACK), "tc", handles_by_what_throws)
CASE(callback_leaks, __reject("would lead to reference leak"), "tc", handles_and_leaks)
CASE(callback_loops, __accept, "tc", handles_with_loop)
CASE(callback_xdp, __accept, "xdp", handles)
CASE(callback_syscall, __accept, "syscall", handles)
CASE(callback_beyond_range, __reject("At program exit the register R0 has"), "cgroup_skb/ingress",
     handles)
CASE(callback_in_range, __accept, "cgroup_skb/ingress", handles_in_range)

SEC("tc") __exception_cb(handles) __reject("cannot call exception cb directly")
int callback_called(void *ctx)
{
	return handles(1);
}

SEC("tc") __exception_cb(handles) __accept
int callback_of_what_never_throws(void *ctx)
{
	return 0;
}

SEC("tc") __exception_cb(handles) __exception_cb(handles_small)
__reject("multiple exception callback tags for main subprog")
int two_callbacks(void *ctx)
{
	bpf_throw(1);
	return 0;
}

SEC("tc") __exception_cb(handles_nowhere)
__reject("exception callback 'handles_nowhere' could not be found in BTF")
int callback_nowhere(void *ctx)
{
	bpf_throw(1);
	return 0;
}

SEC("tc") __exception_cb(handles_statically)
__reject("exception callback 'handles_statically' must have global linkage")
int callback_static(void *ctx)
{
	bpf_throw(handles_statically(chance));
	return 0;
}

SEC("tc") __exception_cb(callback_itself)
__reject("invalid exception callback insn_off in func_info: 0")
int callback_itself(void *ctx)
{
	bpf_throw(1);
	return 0;
}

/* -------------------------------------------------------------- what is returned */

SEC("cgroup_skb/ingress") __accept
int thrown_in_range(void *ctx)
{
	bpf_throw(1);
	return 0;
}

SEC("cgroup_skb/ingress") __reject("At program exit the register R1 has smin=2 smax=2")
int thrown_beyond_range(void *ctx)
{
	bpf_throw(2);
	return 0;
}

SEC("cgroup_skb/ingress") __reject("At program exit the register R1 has")
int thrown_unknown(void *ctx)
{
	bpf_throw(bpf_get_prandom_u32());
	return 0;
}

SEC("cgroup_skb/ingress") __accept
int thrown_small(void *ctx)
{
	bpf_throw(bpf_get_prandom_u32() & 1);
	return 0;
}

SEC("cgroup_skb/ingress") __exception_cb(handles_in_range) __accept
int thrown_to_callback(void *ctx)
{
	bpf_throw(2);
	return 0;
}

static __noinline int throws_two(void)
{
	bpf_throw(2);
	return 0;
}

global int throws_two_globally(void)
{
	bpf_throw(2);
	return 0;
}

SEC("cgroup_skb/ingress") __reject("At program exit the register R1 has smin=2 smax=2")
int thrown_by_static(void *ctx)
{
	return throws_two() & 1;
}

SEC("cgroup_skb/ingress") __reject("At program exit the register R1 has smin=2 smax=2")
__kernel_accepts __reason("what a global function throws is the program's result, too")
int thrown_by_global(void *ctx)
{
	return throws_two_globally() & 1;
}

SEC("tc") __accept
int thrown_by_global_of_any(void *ctx)
{
	return throws_two_globally() & 1;
}

SEC("tc") __reject("R1 is not a scalar")
int thrown_pointer(void *ctx)
{
	bpf_throw((__u64)ctx);
	return 0;
}

/* -------------------------------------------------------------- jumps to others */

global int handles_by_jump(__u64 cookie)
{
	__u64 *n = bpf_map_lookup_elem(&numbers, &(__u32){0});

	return n ? *n : 0;
}

SEC("tc") __accept
int throws_before_jump(void *ctx)
{
	if (chance)
		bpf_throw(1);
	bpf_tail_call(ctx, &others, 0);
	return 0;
}

static __noinline int jumps(void *ctx)
{
	bpf_tail_call(ctx, &others, 0);
	return 0;
}

SEC("tc") __exception_cb(handles_by_jump) __accept
int jumps_below(void *ctx)
{
	bpf_assert_with(jumps(ctx) == 0, 3);
	return 0;
}
