/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of the program that helpers call: bpf_loop, bpf_for_each_map_elem. */
#include "oracle.h"

struct box {
	__u64 size;
};

struct value {
	__u64 count;
	struct box __kptr *box;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct value);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct value);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8[16]);
} bytes SEC(".maps");

__u64 total;
__u32 limit;

struct acc {
	__u64 sum;
	__u64 turns;
	__u32 index;
};

/* --------------------------------------------------------------------------- return value */

static int returns_0(__u32 i, void *ctx)
{
	return 0;
}

static int returns_1(__u32 i, void *ctx)
{
	return 1;
}

static int returns_2(__u32 i, void *ctx)
{
	return 2;
}

static int returns_negative(__u32 i, void *ctx)
{
	return -1;
}

static int returns_bit(__u32 i, void *ctx)
{
	return bpf_get_prandom_u32() & 1;
}

static int returns_two_bits(__u32 i, void *ctx)
{
	return bpf_get_prandom_u32() & 3;
}

static int returns_branch(__u32 i, void *ctx)
{
	if (bpf_get_prandom_u32() > 100)
		return 1;
	return 0;
}

static int returns_checked(__u32 i, void *ctx)
{
	__u32 n = bpf_get_prandom_u32();

	if (n > 1)
		return 0;
	return n;
}

static int returns_badly_checked(__u32 i, void *ctx)
{
	__u32 n = bpf_get_prandom_u32();

	if (n > 2)
		return 0;
	return n;
}

SEC("tc") __accept
int loop_returns_0(struct __sk_buff *ctx)
{
	bpf_loop(10, returns_0, NULL, 0);
	return 0;
}

SEC("tc") __accept
int loop_returns_1(struct __sk_buff *ctx)
{
	bpf_loop(10, returns_1, NULL, 0);
	return 0;
}

SEC("tc") __reject("At callback return the register")
int loop_returns_2(struct __sk_buff *ctx)
{
	bpf_loop(10, returns_2, NULL, 0);
	return 0;
}

SEC("tc") __reject("At callback return the register")
int loop_returns_negative(struct __sk_buff *ctx)
{
	bpf_loop(10, returns_negative, NULL, 0);
	return 0;
}

SEC("tc") __accept
int loop_returns_bit(struct __sk_buff *ctx)
{
	bpf_loop(10, returns_bit, NULL, 0);
	return 0;
}

SEC("tc") __reject("At callback return the register")
int loop_returns_two_bits(struct __sk_buff *ctx)
{
	bpf_loop(10, returns_two_bits, NULL, 0);
	return 0;
}

SEC("tc") __accept
int loop_returns_branch(struct __sk_buff *ctx)
{
	bpf_loop(10, returns_branch, NULL, 0);
	return 0;
}

SEC("tc") __accept
int loop_returns_checked(struct __sk_buff *ctx)
{
	bpf_loop(10, returns_checked, NULL, 0);
	return 0;
}

SEC("tc") __reject("At callback return the register")
int loop_returns_badly_checked(struct __sk_buff *ctx)
{
	bpf_loop(10, returns_badly_checked, NULL, 0);
	return 0;
}

/* ------------------------------------------------------------------------- bpf_loop itself */

/* Flags that nobody knows fail at run time. */
SEC("tc") __accept
int loop_with_flags(struct __sk_buff *ctx)
{
	bpf_loop(10, returns_0, NULL, 1);
	return 0;
}

SEC("tc") __accept
int loop_unknown_count(struct __sk_buff *ctx)
{
	bpf_loop(ctx->len, returns_0, NULL, 0);
	return 0;
}

SEC("tc") __accept
int loop_no_turns(struct __sk_buff *ctx)
{
	bpf_loop(0, returns_0, NULL, 0);
	return 0;
}

/* Too many turns end at run time: the verifier has no opinion. */
SEC("tc") __accept
int loop_too_many_turns(struct __sk_buff *ctx)
{
	bpf_loop(1 << 24, returns_0, NULL, 0);
	return 0;
}

SEC("tc") __reject("type=scalar expected=func")
int loop_callback_is_a_number(struct __sk_buff *ctx)
{
	bpf_loop(10, (void *)5, NULL, 0);
	return 0;
}

SEC("tc") __reject("type=scalar expected=fp")
int loop_ctx_is_a_number(struct __sk_buff *ctx)
{
	bpf_loop(10, returns_0, (void *)8, 0);
	return 0;
}

SEC("tc") __reject("type=ctx expected=fp")
int loop_ctx_is_the_context(struct __sk_buff *ctx)
{
	bpf_loop(10, returns_0, ctx, 0);
	return 0;
}

SEC("tc") __reject("type=map_value expected=fp")
int loop_ctx_is_a_map_value(struct __sk_buff *ctx)
{
	__u32 key = 0;
	void *v = bpf_map_lookup_elem(&hash, &key);

	if (v)
		bpf_loop(10, returns_0, v, 0);
	return 0;
}

/* ------------------------------------------------------------------------ state on the stack */

static int add_up(__u32 i, void *ctx)
{
	struct acc *a = ctx;

	a->sum += i;
	a->turns++;
	return 0;
}

SEC("tc") __accept
int sum_on_the_stack(struct __sk_buff *ctx)
{
	struct acc a = {};

	bpf_loop(10, add_up, &a, 0);
	return a.sum & 1;
}

static int add_up_far(__u32 i, void *ctx)
{
	__u64 *a = ctx;

	a[3] += i;
	return 0;
}

SEC("tc") __reject("invalid read from stack")
int sum_beyond_the_stack(struct __sk_buff *ctx)
{
	__u64 sum = 0;

	bpf_loop(10, add_up_far, &sum, 0);
	return sum & 1;
}

SEC("tc") __accept
int sum_at_the_end_of_the_stack(struct __sk_buff *ctx)
{
	__u64 sum[4] = {};

	bpf_loop(10, add_up_far, sum, 0);
	return sum[3] & 1;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int ctx_null_used(struct __sk_buff *ctx)
{
	bpf_loop(10, add_up, NULL, 0);
	return 0;
}

static int set_index(__u32 i, void *ctx)
{
	struct acc *a = ctx;

	a->index = i;
	return 0;
}

/* The callback changed what the caller knew. */
SEC("tc") __reject("unbounded memory access, make sure to bounds check any such")
int callback_changes_index(struct __sk_buff *ctx)
{
	struct acc a = {};
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	bpf_loop(10, set_index, &a, 0);
	return v[a.index];
}

SEC("tc") __accept
int callback_changes_index_checked(struct __sk_buff *ctx)
{
	struct acc a = {};
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	bpf_loop(10, set_index, &a, 0);
	if (a.index >= 16)
		return 0;
	return v[a.index];
}

static int keep_index(__u32 i, void *ctx)
{
	struct acc *a = ctx;

	a->index = 3;
	return 0;
}

SEC("tc") __accept
int callback_sets_index_in_bounds(struct __sk_buff *ctx)
{
	struct acc a = {};
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	bpf_loop(10, keep_index, &a, 0);
	return v[a.index];
}

static int index_too_far(__u32 i, void *ctx)
{
	struct acc *a = ctx;

	a->index = 16;
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int callback_sets_index_out_of_bounds(struct __sk_buff *ctx)
{
	struct acc a = {};
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	bpf_loop(10, index_too_far, &a, 0);
	return v[a.index];
}

static int climb(__u32 i, void *ctx)
{
	struct acc *a = ctx;

	a->index++;
	return 0;
}

/* Turns that are few enough are all looked at. */
SEC("tc") __accept
int callback_index_grows_15_times(struct __sk_buff *ctx)
{
	struct acc a = {};
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	bpf_loop(15, climb, &a, 0);
	return v[a.index];
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int callback_index_grows_16_times(struct __sk_buff *ctx)
{
	struct acc a = {};
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	bpf_loop(16, climb, &a, 0);
	return v[a.index];
}

SEC("tc") __accept
int callback_index_grows_up_to_7_times(struct __sk_buff *ctx)
{
	struct acc a = {};
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	bpf_loop(ctx->len & 7, climb, &a, 0);
	return v[a.index];
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int callback_index_grows_many_times(struct __sk_buff *ctx)
{
	struct acc a = {};
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	bpf_loop(ctx->len, climb, &a, 0);
	return v[a.index];
}

static int climb_to_15(__u32 i, void *ctx)
{
	struct acc *a = ctx;

	if (a->index < 15)
		a->index++;
	return 0;
}

SEC("tc") __accept
int callback_index_grows_to_15(struct __sk_buff *ctx)
{
	struct acc a = {};
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	bpf_loop(20, climb_to_15, &a, 0);
	return v[a.index];
}

static int climb_to_16(__u32 i, void *ctx)
{
	struct acc *a = ctx;

	if (a->index < 16)
		a->index++;
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int callback_index_grows_to_16(struct __sk_buff *ctx)
{
	struct acc a = {};
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	bpf_loop(20, climb_to_16, &a, 0);
	return v[a.index];
}

struct ptr_ctx {
	__u8 *p;
};

static int write_through(__u32 i, void *ctx)
{
	struct ptr_ctx *c = ctx;

	c->p[15] = i;
	return 0;
}

SEC("tc") __accept
int pointer_on_the_stack(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct ptr_ctx c = { .p = bpf_map_lookup_elem(&bytes, &key) };

	if (!c.p)
		return 0;
	bpf_loop(10, write_through, &c, 0);
	return 0;
}

static int move_pointer(__u32 i, void *ctx)
{
	struct ptr_ctx *c = ctx;

	*(volatile __u8 *)c->p = i;
	c->p++;
	return 0;
}

/* Every turn moves the pointer by one. */
SEC("tc") __accept
int pointer_on_the_stack_moves_16_times(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct ptr_ctx c = { .p = bpf_map_lookup_elem(&bytes, &key) };

	if (!c.p)
		return 0;
	bpf_loop(16, move_pointer, &c, 0);
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int pointer_on_the_stack_moves_17_times(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct ptr_ctx c = { .p = bpf_map_lookup_elem(&bytes, &key) };

	if (!c.p)
		return 0;
	bpf_loop(17, move_pointer, &c, 0);
	return 0;
}

static int by_turn(__u32 i, void *ctx)
{
	struct ptr_ctx *c = ctx;

	c->p[i] = 0;
	return 0;
}

/* What a turn is numbered, the verifier does not know from the count of turns. */
SEC("tc") __reject("unbounded memory access, make sure to bounds check any such")
int index_by_turn(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct ptr_ctx c = { .p = bpf_map_lookup_elem(&bytes, &key) };

	if (!c.p)
		return 0;
	bpf_loop(10, by_turn, &c, 0);
	return 0;
}

static int by_turn_checked(__u32 i, void *ctx)
{
	struct ptr_ctx *c = ctx;

	if (i < 16)
		c->p[i] = 0;
	return 0;
}

SEC("tc") __accept
int index_by_turn_checked(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct ptr_ctx c = { .p = bpf_map_lookup_elem(&bytes, &key) };

	if (!c.p)
		return 0;
	bpf_loop(10, by_turn_checked, &c, 0);
	return 0;
}

/* A divisor of a load's offset that a first turn sees as 0, a second as 64. */
static int read_then_set(__u32 i, void *ctx)
{
	struct acc *a = ctx;
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 1;
	total += v[a->index];
	a->index = 64;
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int second_turn_out_of_bounds(struct __sk_buff *ctx)
{
	struct acc a = {};

	bpf_loop(10, read_then_set, &a, 0);
	return 0;
}

static int read_then_set_15(__u32 i, void *ctx)
{
	struct acc *a = ctx;
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 1;
	total += v[a->index];
	a->index = 15;
	return 0;
}

SEC("tc") __accept
int second_turn_in_bounds(struct __sk_buff *ctx)
{
	struct acc a = {};

	bpf_loop(10, read_then_set_15, &a, 0);
	return 0;
}

/* What one turn sets, only the third reads. */
static int three_turns(__u32 i, void *ctx)
{
	struct acc *a = ctx;
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 1;
	if (a->turns == 2)
		total += v[a->index];
	if (a->turns == 1)
		a->index = limit;
	if (a->turns < 3)
		a->turns++;
	return 0;
}

SEC("tc") __reject("unbounded memory access, make sure to bounds check any such")
int third_turn_out_of_bounds(struct __sk_buff *ctx)
{
	struct acc a = {};

	bpf_loop(10, three_turns, &a, 0);
	return 0;
}

/* A value that nothing depended on yet is widened between turns, known bits and all. */
static int three_turns_masked(__u32 i, void *ctx)
{
	struct acc *a = ctx;
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 1;
	if (a->turns == 2)
		total += v[a->index];
	if (a->turns == 1)
		a->index = limit & 15;
	if (a->turns < 3)
		a->turns++;
	return 0;
}

SEC("tc") __reject("unbounded memory access")
int third_turn_masked_before(struct __sk_buff *ctx)
{
	struct acc a = {};

	bpf_loop(10, three_turns_masked, &a, 0);
	return 0;
}

static int three_turns_checked(__u32 i, void *ctx)
{
	struct acc *a = ctx;
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 1;
	if (a->turns == 2 && a->index < 16)
		total += v[a->index];
	if (a->turns == 1)
		a->index = limit;
	if (a->turns < 3)
		a->turns++;
	return 0;
}

SEC("tc") __accept
int third_turn_checked(struct __sk_buff *ctx)
{
	struct acc a = {};

	bpf_loop(10, three_turns_checked, &a, 0);
	return 0;
}

static int stop_with_result(__u32 i, void *ctx)
{
	struct acc *a = ctx;

	if (i == 7) {
		a->index = 100;
		return 1;
	}
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int last_turn_out_of_bounds(struct __sk_buff *ctx)
{
	struct acc a = {};
	__u32 key = 0;
	__u8 *v = bpf_map_lookup_elem(&bytes, &key);

	if (!v)
		return 0;
	bpf_loop(10, stop_with_result, &a, 0);
	return v[a.index];
}

/* --------------------------------------------------------------- callbacks and references */

static int takes_and_drops(__u32 i, void *ctx)
{
	struct box *b = bpf_obj_new(struct box);

	if (b)
		bpf_obj_drop(b);
	return 0;
}

SEC("tc") __accept
int reference_within_callback(struct __sk_buff *ctx)
{
	bpf_loop(10, takes_and_drops, NULL, 0);
	return 0;
}

static int takes(__u32 i, void *ctx)
{
	struct box *b = bpf_obj_new(struct box);

	return b ? 1 : 0;
}

SEC("tc") __reject("Unreleased reference")
int reference_lost_in_callback(struct __sk_buff *ctx)
{
	bpf_loop(10, takes, NULL, 0);
	return 0;
}

struct box_ctx {
	struct box *box;
};

static int drops_the_callers(__u32 i, void *ctx)
{
	struct box_ctx *c = ctx;

	bpf_obj_drop(c->box);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int reference_of_caller_dropped(struct __sk_buff *ctx)
{
	struct box_ctx c = { .box = bpf_obj_new(struct box) };

	if (!c.box)
		return 0;
	bpf_loop(1, drops_the_callers, &c, 0);
	return 0;
}

static int uses_the_callers(__u32 i, void *ctx)
{
	struct box_ctx *c = ctx;

	c->box->size++;
	return 0;
}

SEC("tc") __accept
int reference_of_caller_used(struct __sk_buff *ctx)
{
	struct box_ctx c = { .box = bpf_obj_new(struct box) };

	if (!c.box)
		return 0;
	bpf_loop(10, uses_the_callers, &c, 0);
	bpf_obj_drop(c.box);
	return 0;
}

static int hands_out(__u32 i, void *ctx)
{
	struct box_ctx *c = ctx;

	c->box = bpf_obj_new(struct box);
	return 0;
}

SEC("tc") __accept
int reference_handed_out_once(struct __sk_buff *ctx)
{
	struct box_ctx c = {};

	bpf_loop(1, hands_out, &c, 0);
	if (c.box)
		bpf_obj_drop(c.box);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int reference_handed_out_twice(struct __sk_buff *ctx)
{
	struct box_ctx c = {};

	bpf_loop(2, hands_out, &c, 0);
	if (c.box)
		bpf_obj_drop(c.box);
	return 0;
}

static int swaps_with_map(__u32 i, void *ctx)
{
	__u32 key = 0;
	struct value *v = bpf_map_lookup_elem(&hash, &key);
	struct box *b;

	if (!v)
		return 1;
	b = bpf_kptr_xchg(&v->box, NULL);
	if (b)
		bpf_obj_drop(b);
	return 0;
}

SEC("tc") __accept
int callback_empties_map(struct __sk_buff *ctx)
{
	bpf_loop(10, swaps_with_map, NULL, 0);
	return 0;
}

/* -------------------------------------------------------------------------------- nesting */

static int inner(__u32 i, void *ctx)
{
	struct acc *a = ctx;

	a->sum += i;
	return 0;
}

static int outer(__u32 i, void *ctx)
{
	bpf_loop(5, inner, ctx, 0);
	return 0;
}

SEC("tc") __accept
int nested(struct __sk_buff *ctx)
{
	struct acc a = {};

	bpf_loop(5, outer, &a, 0);
	return a.sum & 1;
}

static int inner_own_stack(__u32 i, void *ctx)
{
	(*(__u64 *)ctx)++;
	return 0;
}

static int outer_own_stack(__u32 i, void *ctx)
{
	__u64 n = 0;

	bpf_loop(5, inner_own_stack, &n, 0);
	*(__u64 *)ctx += n;
	return 0;
}

SEC("tc") __accept
int nested_with_own_stacks(struct __sk_buff *ctx)
{
	__u64 n = 0;

	bpf_loop(5, outer_own_stack, &n, 0);
	return n & 1;
}

static int inner_returns_2(__u32 i, void *ctx)
{
	return 2;
}

static int outer_of_bad(__u32 i, void *ctx)
{
	bpf_loop(5, inner_returns_2, NULL, 0);
	return 0;
}

SEC("tc") __reject("At callback return the register")
int nested_inner_returns_2(struct __sk_buff *ctx)
{
	bpf_loop(5, outer_of_bad, NULL, 0);
	return 0;
}

static int endless(__u32 i, void *ctx)
{
	bpf_loop(5, endless, NULL, 0);
	return 0;
}

SEC("tc") __reject("the call stack of 9 frames is too deep")
int nested_in_itself(struct __sk_buff *ctx)
{
	bpf_loop(5, endless, NULL, 0);
	return 0;
}

static int deep_stack(__u32 i, void *ctx)
{
	char buf[400];

	use(buf);
	*(volatile char *)buf = i;
	return 0;
}

SEC("tc") __accept
int stack_of_callback(struct __sk_buff *ctx)
{
	char buf[64];

	use(buf);
	*(volatile char *)buf = 1;
	bpf_loop(5, deep_stack, NULL, 0);
	return 0;
}

SEC("tc") __reject("combined stack size of 2 calls is")
int stack_of_callback_too_deep(struct __sk_buff *ctx)
{
	char buf[128];

	use(buf);
	*(volatile char *)buf = 1;
	bpf_loop(5, deep_stack, NULL, 0);
	return 0;
}

/* A pointer to the callback's own frame must not outlive it. */
static int leaks_its_frame(__u32 i, void *ctx)
{
	volatile __u64 own = i;

	*(volatile __u64 **)ctx = &own;
	return 0;
}

SEC("tc") __reject("cannot spill pointers to stack into stack frame of the caller")
int frame_of_callback_leaks(struct __sk_buff *ctx)
{
	__u64 *p = NULL;

	bpf_loop(5, leaks_its_frame, &p, 0);
	return p ? 1 : 0;
}

/* ------------------------------------------------------------------- one for each element */

static long each(void *map, __u32 *key, struct value *v, void *ctx)
{
	v->count++;
	return 0;
}

SEC("tc") __accept
int each_of_array(struct __sk_buff *ctx)
{
	bpf_for_each_map_elem(&array, each, NULL, 0);
	return 0;
}

SEC("tc") __accept
int each_of_hash(struct __sk_buff *ctx)
{
	bpf_for_each_map_elem(&hash, each, NULL, 0);
	return 0;
}

static long each_too_far(void *map, __u32 *key, struct value *v, void *ctx)
{
	(v + 1)->count++;
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int each_value_too_far(struct __sk_buff *ctx)
{
	bpf_for_each_map_elem(&array, each_too_far, NULL, 0);
	return 0;
}

static long each_reads_key(void *map, __u32 *key, struct value *v, void *ctx)
{
	*(__u64 *)ctx += *key;
	return 0;
}

SEC("tc") __accept
int each_key_read(struct __sk_buff *ctx)
{
	__u64 sum = 0;

	bpf_for_each_map_elem(&hash, each_reads_key, &sum, 0);
	return sum & 1;
}

static long each_writes_key(void *map, __u32 *key, struct value *v, void *ctx)
{
	*key = 0;
	return 0;
}

SEC("tc") __reject("write to change key")
int each_key_written(struct __sk_buff *ctx)
{
	bpf_for_each_map_elem(&hash, each_writes_key, NULL, 0);
	return 0;
}

static long each_reads_key_too_far(void *map, __u32 *key, struct value *v, void *ctx)
{
	*(__u64 *)ctx += *((volatile __u32 *)key + 1);
	return 0;
}

SEC("tc") __reject("min value is outside of the allowed memory range")
int each_key_read_too_far(struct __sk_buff *ctx)
{
	__u64 sum = 0;

	bpf_for_each_map_elem(&hash, each_reads_key_too_far, &sum, 0);
	return sum & 1;
}

static long each_returns_2(void *map, __u32 *key, struct value *v, void *ctx)
{
	return 2;
}

SEC("tc") __reject("At callback return the register")
int each_returns_2_of_array(struct __sk_buff *ctx)
{
	bpf_for_each_map_elem(&array, each_returns_2, NULL, 0);
	return 0;
}

static long each_deletes(void *map, __u32 *key, struct value *v, void *ctx)
{
	bpf_map_delete_elem(map, key);
	return 0;
}

SEC("tc") __accept
int each_deleted(struct __sk_buff *ctx)
{
	bpf_for_each_map_elem(&hash, each_deletes, NULL, 0);
	return 0;
}

static long each_takes_box(void *map, __u32 *key, struct value *v, void *ctx)
{
	struct box *b = bpf_kptr_xchg(&v->box, NULL);

	if (b)
		bpf_obj_drop(b);
	return 0;
}

SEC("tc") __accept
int each_box_dropped(struct __sk_buff *ctx)
{
	bpf_for_each_map_elem(&hash, each_takes_box, NULL, 0);
	return 0;
}

static long each_loses_box(void *map, __u32 *key, struct value *v, void *ctx)
{
	bpf_kptr_xchg(&v->box, NULL);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int each_box_lost(struct __sk_buff *ctx)
{
	bpf_for_each_map_elem(&hash, each_loses_box, NULL, 0);
	return 0;
}

static long each_stops(void *map, __u32 *key, struct value *v, void *ctx)
{
	return v->count > 10;
}

SEC("tc") __accept
int each_stops_early(struct __sk_buff *ctx)
{
	bpf_for_each_map_elem(&array, each_stops, NULL, 0);
	return 0;
}

SEC("tc") __accept
int each_with_flags(struct __sk_buff *ctx)
{
	bpf_for_each_map_elem(&array, each, NULL, 2);
	return 0;
}

static long each_looks_up(void *map, __u32 *key, struct value *v, void *ctx)
{
	struct value *w = bpf_map_lookup_elem(map, key);

	if (w)
		w->count++;
	return 0;
}

SEC("tc") __accept
int each_looked_up_again(struct __sk_buff *ctx)
{
	bpf_for_each_map_elem(&hash, each_looks_up, NULL, 0);
	return 0;
}

static int loop_in_each(__u32 i, void *ctx)
{
	(*(__u64 *)ctx)++;
	return 0;
}

static long each_loops(void *map, __u32 *key, struct value *v, void *ctx)
{
	__u64 n = 0;

	bpf_loop(5, loop_in_each, &n, 0);
	v->count += n;
	return 0;
}

SEC("tc") __accept
int loop_within_each(struct __sk_buff *ctx)
{
	bpf_for_each_map_elem(&array, each_loops, NULL, 0);
	return 0;
}

static long each_keeps_value(void *map, __u32 *key, struct value *v, void *ctx)
{
	*(struct value **)ctx = v;
	return 1;
}

/* Like any pointer on the stack, the value's is known to the caller afterwards. */
SEC("tc") __accept
int each_value_kept(struct __sk_buff *ctx)
{
	struct value *found = NULL;

	bpf_for_each_map_elem(&array, each_keeps_value, &found, 0);
	if (found)
		found->count = 1;
	return 0;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int each_value_kept_unchecked(struct __sk_buff *ctx)
{
	struct value *found = NULL;

	bpf_for_each_map_elem(&array, each_keeps_value, &found, 0);
	*(volatile __u64 *)&found->count = 1;
	return 0;
}
