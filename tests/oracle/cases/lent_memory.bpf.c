/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that a function has for a while, and Linux lets it have for good: what a global function
 * is given, which is plain memory to it, and the key that a callback is given. To be loaded only,
 * never run: they break the kernel's memory.
 */
#include "oracle.h"

struct bpf_map;

struct pair {
	__u64 a, b;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct pair);
} pairs SEC(".maps");

/* ------------------------------------------------------------------- objects of the kernel */

#define current() (((void *(*)(void))158)())

__noinline int put(__u64 *p __arg_nonnull, __u64 value)
{
	*p = value;
	return 0;
}

__noinline int take(__u64 *p __arg_nonnull)
{
	return *p;
}

__noinline int put_by_another(__u64 *p __arg_nonnull)
{
	return put(p, 1);
}

__noinline int take_by_another(__u64 *p __arg_nonnull)
{
	return take(p);
}

__noinline int put_by_helper(char *p)
{
	return p ? bpf_get_current_comm(p, 1) : 0;
}

SEC("raw_tp") __reject("cannot write into mem") __kernel_accepts
__reason("an object of the kernel is memory to a global function, which may write there")
int task_is_written(void *ctx)
{
	return put(current(), 1);
}

SEC("raw_tp") __accept
int task_is_read(void *ctx)
{
	return take(current());
}

SEC("raw_tp") __reject("cannot write into mem") __kernel_accepts
__reason("an object of the kernel is memory to a global function, which may write there")
int task_is_written_further_on(void *ctx)
{
	return put_by_another(current());
}

SEC("raw_tp") __accept
int task_is_read_further_on(void *ctx)
{
	return take_by_another(current());
}

SEC("raw_tp") __reject("cannot write into mem") __kernel_accepts
__reason("an object of the kernel is memory to a global function, which may write there")
int task_is_written_by_a_helper(void *ctx)
{
	return put_by_helper(current());
}

SEC("raw_tp") __accept
int variable_is_written(void *ctx)
{
	__u64 one = 0;

	put(&one, 1);
	put_by_another(&one);
	put_by_helper((char *)&one);
	return one;
}

/* The function was walked for memory of its own before. */
SEC("raw_tp") __reject("cannot write into mem") __kernel_accepts
__reason("an object of the kernel is memory to a global function, which may write there")
int both_are_written(void *ctx)
{
	__u64 one = 0;

	put(&one, 1);
	put_by_another(current());
	return one;
}

/* ----------------------------------------------------------------------------- packets */

__noinline int put_int(int *p)
{
	if (p)
		*p = 1;
	return 0;
}

__noinline int take_int(int *p)
{
	return p ? *p : 0;
}

__noinline int cut_and_take(struct xdp_md *ctx, int *p)
{
	if (!p)
		return 0;
	bpf_xdp_adjust_tail(ctx, -20);
	return *p;
}

__noinline int take_and_cut(struct xdp_md *ctx, int *p)
{
	int found = p ? *p : 0;

	bpf_xdp_adjust_tail(ctx, -20);
	return found;
}

__noinline int cut(struct xdp_md *ctx)
{
	return bpf_xdp_adjust_tail(ctx, -20);
}

__noinline int cut_further_on_and_take(struct xdp_md *ctx, int *p)
{
	if (!p)
		return 0;
	cut(ctx);
	return *p;
}

__noinline int copy_within(struct __sk_buff *ctx, char *p)
{
	return p ? bpf_skb_store_bytes(ctx, 0, p, 1, 0) : 0;
}

#define PACKET(ctx, bytes)                                                        \
	void *data = (void *)(long)(ctx)->data, *end = (void *)(long)(ctx)->data_end; \
	if (data + (bytes) > end)                                                 \
		return 1

SEC("cgroup_skb/ingress") __reject("cannot write into mem") __kernel_accepts
__reason("a packet is memory to a global function, which writes where the program may not")
int packet_is_written(struct __sk_buff *ctx)
{
	PACKET(ctx, 8);
	put_int(data);
	return 1;
}

SEC("cgroup_skb/ingress") __accept
int packet_is_read(struct __sk_buff *ctx)
{
	PACKET(ctx, 8);
	take_int(data);
	return 1;
}

SEC("tc") __accept
int packet_is_written_where_programs_may(struct __sk_buff *ctx)
{
	PACKET(ctx, 8);
	put_int(data);
	*(int *)data = 1;
	return 0;
}

SEC("xdp") __reject("invalid mem access 'scalar'") __kernel_accepts
__reason("a packet is memory to a global function, which uses it after it was moved")
int packet_is_cut(struct xdp_md *ctx)
{
	PACKET(ctx, 40);
	return cut_and_take(ctx, data + 20);
}

SEC("xdp") __reject("invalid mem access 'scalar'") __kernel_accepts
__reason("a packet is memory to a global function, which uses it after it was moved")
int packet_is_cut_further_on(struct xdp_md *ctx)
{
	PACKET(ctx, 40);
	return cut_further_on_and_take(ctx, data + 20);
}

SEC("xdp") __accept
int packet_is_cut_after_that(struct xdp_md *ctx)
{
	PACKET(ctx, 40);
	return take_and_cut(ctx, data + 20);
}

SEC("xdp") __accept
int variable_beside_a_packet_that_is_cut(struct xdp_md *ctx)
{
	int one = 1;

	return cut_and_take(ctx, &one) + cut_further_on_and_take(ctx, &one);
}

SEC("tc") __reject("helper access to the packet is not allowed") __kernel_accepts
__reason("a packet is memory to a global function, which gives it to what takes no packets")
int packet_for_a_helper(struct __sk_buff *ctx)
{
	PACKET(ctx, 8);
	return copy_within(ctx, data);
}

SEC("tc") __accept
int variable_for_a_helper(struct __sk_buff *ctx)
{
	char one = 1;

	return copy_within(ctx, &one);
}

/* -------------------------------------------------------------------------------- keys */

struct kept {
	__u32 *key;
	__u64 sum;
};

static long keep(struct bpf_map *map, __u32 *key, struct pair *pair, struct kept *kept)
{
	kept->key = key;
	return 0;
}

static long add(struct bpf_map *map, __u32 *key, struct pair *pair, struct kept *kept)
{
	kept->sum += *key;
	return 0;
}

static long add_within(struct bpf_map *map, __u32 *key, struct pair *pair, struct kept *kept)
{
	struct kept inner = {.key = key};

	bpf_for_each_map_elem(&pairs, add, &inner, 0);
	kept->sum += inner.key ? *inner.key : 0;
	return 0;
}

static long keep_within(struct bpf_map *map, __u32 *key, struct pair *pair, struct kept *kept)
{
	struct kept inner = {};

	bpf_for_each_map_elem(&pairs, keep, &inner, 0);
	kept->sum += inner.key ? *inner.key : 0;
	return 0;
}

static long read_before(struct bpf_map *map, __u32 *key, struct pair *pair, struct kept *kept)
{
	if (kept->key)
		kept->sum += *kept->key;
	kept->key = key;
	return 0;
}

SEC("tc") __reject("invalid mem access 'scalar'") __kernel_accepts
__reason("the key of a callback is a variable of the helper, which is over")
int key_is_kept(struct __sk_buff *ctx)
{
	struct kept kept = {};

	bpf_for_each_map_elem(&pairs, keep, &kept, 0);
	return kept.key ? *kept.key : 0;
}

SEC("tc") __reject("invalid mem access 'scalar'") __kernel_accepts
__reason("the key of a callback is a variable of the helper, which is over")
int key_is_kept_within_a_callback(struct __sk_buff *ctx)
{
	struct kept kept = {};

	bpf_for_each_map_elem(&pairs, keep_within, &kept, 0);
	return kept.sum;
}

SEC("tc") __reject("invalid mem access 'scalar'") __kernel_accepts
__reason("the key of a callback is a variable of the helper, which has another one in it by then")
int key_is_kept_for_the_next(struct __sk_buff *ctx)
{
	struct kept kept = {};

	bpf_for_each_map_elem(&pairs, read_before, &kept, 0);
	return kept.sum;
}

SEC("tc") __accept
int key_is_read(struct __sk_buff *ctx)
{
	struct kept kept = {};

	bpf_for_each_map_elem(&pairs, add, &kept, 0);
	return kept.sum;
}

SEC("tc") __accept
int key_is_kept_while_another_callback_runs(struct __sk_buff *ctx)
{
	struct kept kept = {};

	bpf_for_each_map_elem(&pairs, add_within, &kept, 0);
	return kept.sum;
}

/* ------------------------------------------------------------ addresses that are not aligned */

__noinline int count(__u64 *p __arg_nonnull)
{
	__sync_fetch_and_add(p, 1);
	return 0;
}

__noinline int count_half(__u32 *p __arg_nonnull)
{
	__sync_fetch_and_add(p, 1);
	return 0;
}

__noinline int count_by_another(struct pair *p __arg_nonnull)
{
	return count(&p->b);
}

__noinline int add_one(__u64 *p __arg_nonnull)
{
	*p += 1;
	return 0;
}

#define PAIR(section, name, how)                                                                    \
	SEC(section) int name(struct __sk_buff *ctx)                                                \
	{                                                                                           \
		__u32 key = 0;                                                                      \
		char *pair = bpf_map_lookup_elem(&pairs, &key);                                     \
                                                                                                    \
		return pair ? how : 0;                                                              \
	}

__accept PAIR("tc", aligned, count((void *)pair + 8))
__reject("misaligned access off 0+0+0 size 8") __kernel_accepts
__reason("a global function's memory counts as aligned, whatever it is given")
PAIR("tc", between_two, count((void *)pair + 4))
__reject("misaligned access off 0+0+0 size 8") __kernel_accepts
__reason("a global function's memory counts as aligned, whatever it is given")
PAIR("tc", aligned_and_not, count((void *)pair) + count((void *)pair + 1))
__reject("misaligned access off 0+0+0 size 8") __kernel_accepts
__reason("a global function's memory counts as aligned, whatever it is given")
PAIR("tc", somewhere, count((void *)pair + (ctx->len & 7)))
__accept PAIR("tc", somewhere_aligned, count((void *)pair + (ctx->len & 8)))
__accept PAIR("tc", half, count_half((void *)pair + 4))
__reject("misaligned access off 0+0+0 size 4") __kernel_accepts
__reason("a global function's memory counts as aligned, whatever it is given")
PAIR("tc", odd_half, count_half((void *)pair + 2))
__accept PAIR("tc", passed_on, count_by_another((void *)pair))
SEC("tc") __reject("misaligned access off 0+0+0 size 8") __kernel_accepts
__reason("a global function's memory counts as aligned, whatever it is given")
int odd_passed_on(struct __sk_buff *ctx)
{
	__u64 there[3] = {};

	return count_by_another((void *)there + 4) + there[1];
}

__accept PAIR("tc", without_an_atomic_operation, add_one((void *)pair + 1))

SEC("tc") __accept
int on_the_stack(struct __sk_buff *ctx)
{
	__u64 there[2] = {};

	return count(&there[1]) + there[1];
}

SEC("tc") __reject("misaligned access off 0+0+0 size 8") __kernel_accepts
__reason("a global function's memory counts as aligned, whatever it is given")
int between_on_the_stack(struct __sk_buff *ctx)
{
	__u64 there[2] = {};

	return count((void *)there + 4) + there[1];
}
