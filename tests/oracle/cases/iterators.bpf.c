/* SPDX-License-Identifier: Apache-2.0 */
/* Open-coded iterators: bpf_for, and the same by hand. */
#include "oracle.h"

struct box {
	__u64 size;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8[16]);
} bytes SEC(".maps");

private(A) struct bpf_spin_lock lock_a;

__u32 limit;
__u64 total;

/* -------------------------------------------------------------------------------- by hand */

SEC("tc") __accept
int new_destroy(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_new(&it, 0, 10);
	bpf_iter_num_destroy(&it);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int new_only(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_new(&it, 0, 10);
	return 0;
}

SEC("tc") __reject("expected an initialized iter_num as arg")
int destroy_only(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_destroy(&it);
	return 0;
}

SEC("tc") __reject("expected an initialized iter_num as arg")
int destroy_twice(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_new(&it, 0, 10);
	bpf_iter_num_destroy(&it);
	bpf_iter_num_destroy(&it);
	return 0;
}

SEC("tc") __reject("expected uninitialized iter_num as arg")
int new_twice(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_new(&it, 0, 10);
	bpf_iter_num_new(&it, 0, 10);
	bpf_iter_num_destroy(&it);
	return 0;
}

SEC("tc") __accept
int new_again_after_destroy(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_new(&it, 0, 10);
	bpf_iter_num_destroy(&it);
	bpf_iter_num_new(&it, 0, 10);
	bpf_iter_num_destroy(&it);
	return 0;
}

SEC("tc") __reject("expected an initialized iter_num as arg")
int next_without_new(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_next(&it);
	bpf_iter_num_destroy(&it);
	return 0;
}

SEC("tc") __reject("expected an initialized iter_num as arg")
int next_after_destroy(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_new(&it, 0, 10);
	bpf_iter_num_destroy(&it);
	bpf_iter_num_next(&it);
	return 0;
}

SEC("tc") __accept
int next_checked(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;
	int *n, sum = 0;

	bpf_iter_num_new(&it, 0, 10);
	n = bpf_iter_num_next(&it);
	if (n)
		sum = *n;
	bpf_iter_num_destroy(&it);
	return sum & 1;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int next_unchecked(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;
	int *n, sum;

	bpf_iter_num_new(&it, 0, 10);
	n = bpf_iter_num_next(&it);
	sum = *(volatile int *)n;
	bpf_iter_num_destroy(&it);
	return sum & 1;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int next_read_after_destroy(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;
	int *n;

	bpf_iter_num_new(&it, 0, 10);
	n = bpf_iter_num_next(&it);
	bpf_iter_num_destroy(&it);
	return n ? *(volatile int *)n & 1 : 0;
}

SEC("tc") __accept
int next_until_null(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;
	int *n, sum = 0;

	bpf_iter_num_new(&it, 0, 10);
	while ((n = bpf_iter_num_next(&it)))
		sum += *n;
	bpf_iter_num_destroy(&it);
	return sum & 1;
}

SEC("tc") __reject("Unreleased reference")
int next_until_null_not_destroyed(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;
	int *n, sum = 0;

	bpf_iter_num_new(&it, 0, 10);
	while ((n = bpf_iter_num_next(&it)))
		sum += *n;
	return sum & 1;
}

SEC("tc") __reject("Unreleased reference")
int left_on_one_path(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;
	int *n;

	bpf_iter_num_new(&it, 0, 10);
	while ((n = bpf_iter_num_next(&it)))
		if (*n == ctx->len)
			return 1;
	bpf_iter_num_destroy(&it);
	return 0;
}

SEC("tc") __accept
int left_on_one_path_destroyed(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;
	int *n, found = 0;

	bpf_iter_num_new(&it, 0, 10);
	while ((n = bpf_iter_num_next(&it)))
		if (*n == ctx->len) {
			found = 1;
			break;
		}
	bpf_iter_num_destroy(&it);
	return found;
}

SEC("tc") __reject("expected an initialized iter_num as arg")
int overwritten(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_new(&it, 0, 10);
	*(volatile __u64 *)&it = 0;
	bpf_iter_num_destroy(&it);
	return 0;
}

SEC("tc") __reject("expected an initialized iter_num as arg")
int overwritten_by_a_byte(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_new(&it, 0, 10);
	*(volatile char *)&it = 0;
	bpf_iter_num_next(&it);
	bpf_iter_num_destroy(&it);
	return 0;
}

SEC("tc") __reject("expected an initialized iter_num as arg")
int overwritten_by_helper(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_new(&it, 0, 10);
	bpf_skb_load_bytes(ctx, 0, &it, sizeof(it));
	bpf_iter_num_destroy(&it);
	return 0;
}

SEC("tc") __accept
int written_beside(struct __sk_buff *ctx)
{
	struct {
		struct bpf_iter_num it;
		__u64 beside;
	} s;

	bpf_iter_num_new(&s.it, 0, 10);
	*(volatile __u64 *)&s.beside = 0;
	bpf_iter_num_destroy(&s.it);
	return 0;
}

SEC("tc") __reject("invalid read from stack")
int copied(struct __sk_buff *ctx)
{
	struct bpf_iter_num it, copy;

	bpf_iter_num_new(&it, 0, 10);
	*(volatile __u64 *)&copy = *(volatile __u64 *)&it;
	bpf_iter_num_destroy(&copy);
	return 0;
}

SEC("tc") __reject("expected uninitialized iter_num as arg")
int misaligned(struct __sk_buff *ctx)
{
	char buf[16] __attribute__((aligned(8)));

	bpf_iter_num_new((void *)buf + 4, 0, 10);
	bpf_iter_num_destroy((void *)buf + 4);
	return 0;
}

SEC("tc") __accept
int aligned(struct __sk_buff *ctx)
{
	char buf[16] __attribute__((aligned(8)));

	bpf_iter_num_new((void *)buf + 8, 0, 10);
	bpf_iter_num_destroy((void *)buf + 8);
	return 0;
}

SEC("tc") __reject("arg#0 expected pointer to an iterator on stack")
int not_on_the_stack(struct __sk_buff *ctx)
{
	__u32 key = 0;
	void *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	bpf_iter_num_new(v, 0, 10);
	bpf_iter_num_destroy(v);
	return 0;
}

SEC("tc") __accept
int two_at_once(struct __sk_buff *ctx)
{
	struct bpf_iter_num it, jt;

	bpf_iter_num_new(&it, 0, 10);
	bpf_iter_num_new(&jt, 0, 10);
	bpf_iter_num_destroy(&it);
	bpf_iter_num_destroy(&jt);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int two_at_once_one_left(struct __sk_buff *ctx)
{
	struct bpf_iter_num it, jt;

	bpf_iter_num_new(&it, 0, 10);
	bpf_iter_num_new(&jt, 0, 10);
	bpf_iter_num_destroy(&it);
	return 0;
}

static __noinline int step(struct bpf_iter_num *it)
{
	int *n = bpf_iter_num_next(it);

	return n ? *n : -1;
}

SEC("tc") __accept
int next_in_callee(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;
	int n;

	bpf_iter_num_new(&it, 0, 10);
	n = step(&it);
	bpf_iter_num_destroy(&it);
	return n & 1;
}

SEC("tc") __reject("expected an initialized iter_num as arg")
int next_in_callee_without_new(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;
	int n;

	n = step(&it);
	bpf_iter_num_destroy(&it);
	return n & 1;
}

static __noinline int starts(struct bpf_iter_num *it)
{
	return bpf_iter_num_new(it, 0, 10);
}

SEC("tc") __accept
int new_in_callee(struct __sk_buff *ctx)
{
	struct bpf_iter_num it;

	starts(&it);
	bpf_iter_num_destroy(&it);
	return 0;
}

static __noinline int starts_its_own(void)
{
	struct bpf_iter_num it;

	return bpf_iter_num_new(&it, 0, 10);
}

SEC("tc") __reject("Unreleased reference")
int left_open_by_callee(struct __sk_buff *ctx)
{
	return starts_its_own() & 1;
}

/* -------------------------------------------------------------------------------- bpf_for */

SEC("tc") __accept
int sum(struct __sk_buff *ctx)
{
	int i;
	__u64 s = 0;

	bpf_for(i, 0, 1000000)
		s += i;
	return s & 1;
}

SEC("tc") __accept
int unknown_bounds(struct __sk_buff *ctx)
{
	int i;
	__u64 s = 0;

	bpf_for(i, ctx->len, ctx->mark)
		s += i;
	return s & 1;
}

SEC("tc") __accept
int index_checked(struct __sk_buff *ctx)
{
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);
	int i;

	if (!v)
		return 0;
	bpf_for(i, 0, 16) {
		if (i < 0 || i >= 16)
			break;
		v[i] = 0;
	}
	return 0;
}

/* The iterator's numbers are just numbers. */
SEC("tc") __reject("makes map_value pointer be out of bounds")
int index_unchecked(struct __sk_buff *ctx)
{
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);
	int i;

	if (!v)
		return 0;
	bpf_for(i, 0, 16)
		v[i] = 0;
	return 0;
}

SEC("tc") __reject("makes map_value pointer be out of bounds")
int index_checked_above_only(struct __sk_buff *ctx)
{
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);
	int i;

	if (!v)
		return 0;
	bpf_for(i, 0, 16) {
		if (i >= 16)
			break;
		v[i] = 0;
	}
	return 0;
}

SEC("tc") __accept
int index_masked(struct __sk_buff *ctx)
{
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);
	int i;

	if (!v)
		return 0;
	bpf_for(i, 0, 100)
		v[i & 15] = 0;
	return 0;
}

SEC("tc") __reject("max value is outside of the allowed memory range")
int index_masked_too_wide(struct __sk_buff *ctx)
{
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);
	int i;

	if (!v)
		return 0;
	bpf_for(i, 0, 100)
		v[i & 31] = 0;
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int pointer_moves(struct __sk_buff *ctx)
{
	__u32 key = 0;
	volatile __u8 *v = bpf_map_lookup_elem(&bytes, &key);
	int i;

	if (!v)
		return 0;
	bpf_for(i, 0, 16) {
		*v = 0;
		v++;
	}
	return 0;
}

SEC("tc") __accept
int own_counter(struct __sk_buff *ctx)
{
	__u32 key = 0, at = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);
	int i;

	if (!v)
		return 0;
	bpf_for(i, 0, 100) {
		if (at >= 16)
			break;
		barrier_var(at);
		if (at < 16)
			v[at] = 0;
		at++;
	}
	return 0;
}

SEC("tc") __accept
int nested(struct __sk_buff *ctx)
{
	int i, j;
	__u64 s = 0;

	bpf_for(i, 0, 1000)
		bpf_for(j, 0, 1000)
			s += i * j;
	return s & 1;
}

SEC("tc") __accept
int reference_within(struct __sk_buff *ctx)
{
	struct box *b;
	int i;

	bpf_for(i, 0, 10) {
		b = bpf_obj_new(struct box);
		if (!b)
			break;
		bpf_obj_drop(b);
	}
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int reference_within_lost(struct __sk_buff *ctx)
{
	struct box *b;
	int i;

	bpf_for(i, 0, 10) {
		b = bpf_obj_new(struct box);
		if (!b)
			break;
		if (i == 5)
			break;
		bpf_obj_drop(b);
	}
	return 0;
}

/* Each turn holds one reference more: no two turns are alike. */
SEC("tc") __reject("Unreleased reference")
int reference_kept_each_turn(struct __sk_buff *ctx)
{
	int i;

	bpf_for(i, 0, 10)
		bpf_obj_new(struct box);
	return 0;
}

SEC("tc") __accept
int reference_around(struct __sk_buff *ctx)
{
	struct box *b = bpf_obj_new(struct box);
	int i;

	if (!b)
		return 0;
	bpf_for(i, 0, 10)
		b->size += i;
	bpf_obj_drop(b);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int reference_around_dropped_within(struct __sk_buff *ctx)
{
	struct box *b = bpf_obj_new(struct box);
	int i;

	if (!b)
		return 0;
	bpf_for(i, 0, 10)
		bpf_obj_drop(b);
	return 0;
}

SEC("tc") __accept
int reference_swapped_within(struct __sk_buff *ctx)
{
	struct box *b = bpf_obj_new(struct box), *c;
	int i;

	if (!b)
		return 0;
	bpf_for(i, 0, 10) {
		c = bpf_obj_new(struct box);
		if (!c)
			break;
		bpf_obj_drop(b);
		b = c;
	}
	bpf_obj_drop(b);
	return 0;
}

SEC("tc") __accept
int under_lock(struct __sk_buff *ctx)
{
	int i;

	bpf_spin_lock(&lock_a);
	bpf_for(i, 0, 10)
		total += i;
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("function calls are not allowed while holding a lock")
int under_lock_helper(struct __sk_buff *ctx)
{
	int i;

	bpf_spin_lock(&lock_a);
	bpf_for(i, 0, 10)
		total += bpf_get_prandom_u32();
	bpf_spin_unlock(&lock_a);
	return 0;
}

SEC("tc") __reject("BPF_EXIT instruction in main prog cannot be used inside")
int lock_lost_within(struct __sk_buff *ctx)
{
	int i;

	bpf_for(i, 0, 10) {
		bpf_spin_lock(&lock_a);
		if (i == 5)
			break;
		bpf_spin_unlock(&lock_a);
	}
	return 0;
}

/* Imprecise in the first turn, an index in a later one. */
SEC("tc") __reject("unbounded memory access, make sure to bounds check any such")
int index_set_by_an_earlier_turn(struct __sk_buff *ctx)
{
	__u32 key = 0, at = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);
	int i;

	if (!v)
		return 0;
	bpf_for(i, 0, 10) {
		total += v[at];
		barrier_var(at);
		if (i == 5)
			at = limit;
	}
	return 0;
}

SEC("tc") __accept
int index_set_by_an_earlier_turn_bounded(struct __sk_buff *ctx)
{
	__u32 key = 0, at = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);
	int i;

	if (!v)
		return 0;
	bpf_for(i, 0, 10) {
		total += v[at & 15];
		barrier_var(at);
		if (i == 5)
			at = limit;
	}
	return 0;
}

SEC("tc") __accept
int state_machine(struct __sk_buff *ctx)
{
	int i, state = 0;

	bpf_for(i, 0, 100) {
		if (state == 0)
			state = 1;
		else if (state == 1)
			state = bpf_get_prandom_u32() & 1 ? 2 : 0;
		else
			break;
	}
	return state & 1;
}

/* Only after three turns the pointer is none any more. */
SEC("tc") __reject("invalid mem access 'scalar'")
int pointer_lost_in_a_later_turn(struct __sk_buff *ctx)
{
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key), *w, *x, *y;
	int i;

	if (!v)
		return 0;
	w = x = y = v;
	bpf_for(i, 0, 10) {
		*(volatile __u8 *)y = 0;
		barrier_var(x);
		y = x;
		barrier_var(w);
		x = w;
		w = NULL;
	}
	return 0;
}

SEC("tc") __accept
int pointer_kept_in_later_turns(struct __sk_buff *ctx)
{
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key), *w, *x, *y;
	int i;

	if (!v)
		return 0;
	w = x = y = v;
	bpf_for(i, 0, 10) {
		*(volatile __u8 *)y = 0;
		barrier_var(x);
		y = x;
		barrier_var(w);
		x = w;
		w = v;
	}
	return 0;
}

SEC("syscall") __accept
int in_syscall(void *ctx)
{
	int i;

	bpf_for(i, 0, 10)
		total += bpf_get_prandom_u32();
	return 0;
}
