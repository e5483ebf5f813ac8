/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that are functions of the kernel's structs: which members, what they get, may write,
 * return and call. The members of tcp_congestion_ops and bpf_dummy_ops are what kernels have that
 * know these at all. */
#include "oracle.h"

#define CORE __attribute__((preserve_access_index))

struct sock_common {
	unsigned short skc_family;
} CORE;

struct sock {
	struct sock_common __sk_common;
	unsigned long sk_pacing_rate;
	__u32 sk_pacing_status;
	int sk_rcvbuf;
	struct sk_filter *sk_filter;
} CORE;

struct inet_sock {
	struct sock sk;
} CORE;

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	struct {
		__u8 pending;
	} icsk_ack;
	__u64 icsk_ca_priv[13];
	__u32 icsk_rto;
} CORE;

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 snd_cwnd;
	__u32 snd_cwnd_cnt;
	__u32 snd_cwnd_stamp;
	__u32 snd_ssthresh;
	__u32 snd_nxt;
	__u8 ecn_flags;
	__u32 app_limited;
	struct sk_buff *highest_sack;
} CORE;

struct task_struct {
	int pid;
} CORE;

struct rate_sample {
	__u64 prior_mstamp;
	long rtt_us;
} CORE;

struct ack_sample {
	__u32 pkts_acked;
} CORE;

struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	void (*set_state)(struct sock *sk, __u8 new_state);
	void (*cwnd_event)(struct sock *sk, int event);
	void (*pkts_acked)(struct sock *sk, const struct ack_sample *sample);
	__u32 (*min_tso_segs)(struct sock *sk);
	void (*cong_control)(struct sock *sk, __u32 ack, int flag, const struct rate_sample *rs);
	__u32 (*undo_cwnd)(struct sock *sk);
	unsigned long (*get_info)(struct sock *sk, __u32 ext, int *attr, void *info);
	char name[16];
	void (*init)(struct sock *sk);
	void (*release)(struct sock *sk);
};

struct bpf_dummy_ops_state {
	int val;
} CORE;

struct bpf_dummy_ops {
	int (*test_1)(struct bpf_dummy_ops_state *cb);
	int (*test_2)(struct bpf_dummy_ops_state *cb, int a1, unsigned short a2, char a3,
		      unsigned long a4);
	int (*test_sleepable)(struct bpf_dummy_ops_state *cb);
};

extern struct task_struct *bpf_task_from_pid(__s32 pid) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;
extern __u32 tcp_reno_ssthresh(struct sock *sk) __ksym;
extern void tcp_cong_avoid_ai(struct tcp_sock *tp, __u32 w, __u32 acked) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} storage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} others SEC(".maps");

#define OPS SEC("struct_ops")
/* A variable that has the program in a member. */
#define IS(struct_, member_, program)                                                         \
	SEC(".struct_ops.link")                                                               \
	struct struct_ program##_ops = { .member_ = (void *)program }
#define TCP(member, program) IS(tcp_congestion_ops, member, program)
#define DUMMY(member, program) IS(bpf_dummy_ops, member, program)

static __always_inline struct tcp_sock *socket(__u64 *ctx)
{
	return (struct tcp_sock *)ctx[0];
}

/* ------------------------------------------------------------------ which member of what */

OPS __accept int a_member(__u64 *ctx)
{
	return 0;
}
TCP(ssthresh, a_member);

/* libbpf has words for it, the kernel has none. */
OPS __reject("") int no_member(__u64 *ctx)
{
	return 0;
}

OPS __reject("attach to unsupported member get_info of struct tcp_congestion_ops")
int a_member_without_programs(__u64 *ctx)
{
	return 0;
}
TCP(get_info, a_member_without_programs);

struct net_device_ops {
	int (*ndo_init)(void *dev);
};

OPS __reject("is not a supported struct") int another_struct_of_functions(__u64 *ctx)
{
	return 0;
}
IS(net_device_ops, ndo_init, another_struct_of_functions);

struct tcp_congestion_ops___flavour {
	void (*init)(struct sock *sk);
};

OPS __accept int a_flavour(__u64 *ctx)
{
	return 0;
}
IS(tcp_congestion_ops___flavour, init, a_flavour);

OPS __accept int twice_the_same_member(__u64 *ctx)
{
	return 0;
}
TCP(undo_cwnd, twice_the_same_member);
SEC(".struct_ops") struct tcp_congestion_ops again = { .undo_cwnd = (void *)twice_the_same_member };

/* ---------------------------------------------------------------------------- arguments */

OPS __accept int reads_a_socket(__u64 *ctx)
{
	return socket(ctx)->snd_cwnd;
}
TCP(ssthresh, reads_a_socket);

OPS __reject("func 'ssthresh' doesn't have 2-th argument") int reads_too_far(__u64 *ctx)
{
	return ctx[1];
}
TCP(ssthresh, reads_too_far);

OPS __accept int reads_the_second(__u64 *ctx)
{
	use(ctx[1]);
	return 0;
}
TCP(cwnd_event, reads_the_second);

OPS __reject("func 'ssthresh' size 4 must be 8") int reads_half_a_pointer(__u64 *ctx)
{
	return *(__u32 *)ctx;
}
TCP(ssthresh, reads_half_a_pointer);

OPS __accept int reads_half_a_number(__u64 *ctx)
{
	return *(__u32 *)&ctx[1];
}
TCP(cwnd_event, reads_half_a_number);

OPS __reject("offset 4 is not multiple of 8") int reads_another_half(__u64 *ctx)
{
	return *((__u32 *)&ctx[0] + 1);
}
TCP(cwnd_event, reads_another_half);

OPS __reject("invalid bpf_context access off=0 size=8") int writes_an_argument(__u64 *ctx)
{
	ctx[0] = 1;
	return 0;
}
TCP(ssthresh, writes_an_argument);

OPS __reject("invalid bpf_context access off=96") int reads_beyond_all(__u64 *ctx)
{
	return ctx[12];
}
TCP(ssthresh, reads_beyond_all);

OPS __accept int reads_another_struct(__u64 *ctx)
{
	struct rate_sample *rate = (struct rate_sample *)ctx[3];

	use(rate->rtt_us);
	return 0;
}
TCP(cong_control, reads_another_struct);

OPS __reject("beyond struct rate_sample") int reads_beyond_a_struct(__u64 *ctx)
{
	use(*(__u64 *)(ctx[3] + 4000));
	return 0;
}
TCP(cong_control, reads_beyond_a_struct);

OPS __accept int reads_what_is_not_null(__u64 *ctx)
{
	struct bpf_dummy_ops_state *state = (struct bpf_dummy_ops_state *)ctx[0];

	return state->val;
}
DUMMY(test_2, reads_what_is_not_null);

OPS __reject("R1 invalid mem access 'trusted_ptr_or_null_'") int reads_what_may_be_null(__u64 *ctx)
{
	struct bpf_dummy_ops_state *state = (struct bpf_dummy_ops_state *)ctx[0];

	return state->val;
}
DUMMY(test_1, reads_what_may_be_null);

OPS __accept int asks_for_null(__u64 *ctx)
{
	struct bpf_dummy_ops_state *state = (struct bpf_dummy_ops_state *)ctx[0];

	return state ? state->val : 0;
}
DUMMY(test_1, asks_for_null);

/* ------------------------------------------------------------------------------- writes */

#define WRITES(verdict, name, expression)                                                     \
	OPS verdict int name(__u64 *ctx)                                                      \
	{                                                                                     \
		expression;                                                                   \
		return 0;                                                                     \
	}                                                                                     \
	TCP(ssthresh, name)

WRITES(__accept, writes_cwnd, socket(ctx)->snd_cwnd = 10);
WRITES(__reject("no write support to tcp_sock at off"), writes_snd_nxt, socket(ctx)->snd_nxt = 10);
WRITES(__accept, writes_cwnd_cnt, socket(ctx)->snd_cwnd_cnt = 1);
WRITES(__accept, writes_ssthresh, socket(ctx)->snd_ssthresh = 1);
WRITES(__accept, writes_cwnd_stamp, socket(ctx)->snd_cwnd_stamp = 1);
WRITES(__accept, writes_ecn_flags, socket(ctx)->ecn_flags = 1);
WRITES(__accept, writes_app_limited, socket(ctx)->app_limited = 1);
WRITES(__accept, writes_pacing_rate, socket(ctx)->inet_conn.icsk_inet.sk.sk_pacing_rate = 1);
WRITES(__accept, writes_pacing_status, socket(ctx)->inet_conn.icsk_inet.sk.sk_pacing_status = 1);
WRITES(__reject("no write support to tcp_sock at off"), writes_rcvbuf,
       socket(ctx)->inet_conn.icsk_inet.sk.sk_rcvbuf = 1);
WRITES(__accept, writes_pending, socket(ctx)->inet_conn.icsk_ack.pending = 1);
WRITES(__accept, writes_private_words, socket(ctx)->inet_conn.icsk_ca_priv[12] = 1);
WRITES(__accept, writes_private_bytes,
       *((__u8 *)&socket(ctx)->inet_conn.icsk_ca_priv[1] + 3) = 1);
WRITES(__reject("beyond the member of tcp_sock ended at"), writes_a_word_of_cwnd,
       asm volatile("*(u64 *)(%0 + 0) = 1;" : : "r"(&socket(ctx)->snd_ssthresh)));
WRITES(__reject("no write support to tcp_sock at off"), writes_behind_cwnd,
       *((volatile __u8 *)&socket(ctx)->snd_cwnd + 1) = 1);

OPS __reject("only read is supported") int writes_another_struct(__u64 *ctx)
{
	struct rate_sample *rate = (struct rate_sample *)ctx[3];

	rate->rtt_us = 1;
	return 0;
}
TCP(cong_control, writes_another_struct);

OPS __accept int writes_a_state(__u64 *ctx)
{
	((struct bpf_dummy_ops_state *)ctx[0])->val = 1;
	return 0;
}
DUMMY(test_2, writes_a_state);

OPS __reject("write access at off 4 with size 4") int writes_behind_a_state(__u64 *ctx)
{
	*(volatile int *)(ctx[0] + 4) = 1;
	return 0;
}
DUMMY(test_2, writes_behind_a_state);

/* ------------------------------------------------------------------------------ results */

OPS __accept int returns_any_number(__u64 *ctx)
{
	return bpf_get_prandom_u32();
}
TCP(ssthresh, returns_any_number);

OPS __accept __attribute__((naked)) int returns_nothing(__u64 *ctx)
{
	asm volatile("exit;");
}
TCP(init, returns_nothing);

OPS __reject("R0 !read_ok") __attribute__((naked)) int returns_no_number(__u64 *ctx)
{
	asm volatile("exit;");
}
TCP(ssthresh, returns_no_number);

OPS __reject("Unreleased reference") int keeps_a_task(__u64 *ctx)
{
	use(bpf_task_from_pid(1));
	return 0;
}
TCP(ssthresh, keeps_a_task);

OPS __accept int releases_a_task(__u64 *ctx)
{
	struct task_struct *task = bpf_task_from_pid(1);

	if (task)
		bpf_task_release(task);
	return 0;
}
TCP(ssthresh, releases_a_task);

OPS __reject("Unreleased reference") __kernel_accepts
__reason("nobody takes what a function that returns nothing leaves in r0")
long leaves_a_task(__u64 *ctx)
{
	return (long)bpf_task_from_pid(1);
}
TCP(init, leaves_a_task);

OPS __reject("Unreleased reference") __kernel_accepts
__reason("the kernel takes it for a number, and nobody releases the task")
long returns_a_task_as_a_number(__u64 *ctx)
{
	return (long)bpf_task_from_pid(1);
}
TCP(ssthresh, returns_a_task_as_a_number);

/* -------------------------------------------------------------------------------- calls */

OPS __accept int sets_an_option(__u64 *ctx)
{
	int value = 1;

	return bpf_setsockopt((void *)ctx[0], 6, 1, &value, sizeof(value));
}
TCP(init, sets_an_option);

OPS __reject("program of this type cannot use helper bpf_setsockopt")
int sets_an_option_at_the_end(__u64 *ctx)
{
	int value = 1;

	return bpf_setsockopt((void *)ctx[0], 6, 1, &value, sizeof(value));
}
TCP(release, sets_an_option_at_the_end);

OPS __reject("program of this type cannot use helper bpf_getsockopt")
int gets_an_option_at_the_end(__u64 *ctx)
{
	int value = 1;

	return bpf_getsockopt((void *)ctx[0], 6, 1, &value, sizeof(value));
}
TCP(release, gets_an_option_at_the_end);

OPS __accept int has_storage(__u64 *ctx)
{
	__u64 *value = bpf_sk_storage_get(&storage, (void *)ctx[0], 0, 1);

	return value ? *value : 0;
}
TCP(ssthresh, has_storage);

OPS __accept int has_maps(__u64 *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&array, &key);

	return value ? *value : 0;
}
TCP(ssthresh, has_maps);

OPS __reject("program of this type cannot use helper bpf_map_lookup_elem") int has_none(__u64 *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&array, &key);

	return value ? *value : 0;
}
DUMMY(test_1, has_none);

OPS __reject("program of this type cannot use helper bpf_probe_read#4") int traces(__u64 *ctx)
{
	__u64 value = 0;

	bpf_probe_read(&value, 8, (void *)ctx[0]);
	return value;
}
TCP(ssthresh, traces);

OPS __accept int reads_memory_of_the_kernel(__u64 *ctx)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, 8, (void *)ctx[0]);
	return value;
}
TCP(ssthresh, reads_memory_of_the_kernel);

OPS __accept int calls_reno(__u64 *ctx)
{
	return tcp_reno_ssthresh((struct sock *)ctx[0]);
}
TCP(ssthresh, calls_reno);

OPS __reject("has a pointer to STRUCT rate_sample") int calls_reno_for_another(__u64 *ctx)
{
	tcp_reno_ssthresh((struct sock *)ctx[3]);
	return 0;
}
TCP(cong_control, calls_reno_for_another);

OPS __accept int calls_with_the_socket(__u64 *ctx)
{
	tcp_cong_avoid_ai(socket(ctx), 1, 1);
	return 0;
}
TCP(cong_avoid, calls_with_the_socket);

SEC("fentry/do_nanosleep") __reject("") int calls_reno_elsewhere(__u64 *ctx)
{
	return tcp_reno_ssthresh((struct sock *)ctx[0]);
}

OPS __accept int jumps_on(__u64 *ctx)
{
	bpf_tail_call(ctx, &others, 0);
	return 0;
}
TCP(ssthresh, jumps_on);

__noinline int reads_the_context(__u64 *ctx __arg_ctx)
{
	return ctx[1];
}

OPS __accept int gives_its_context(__u64 *ctx)
{
	return reads_the_context(ctx);
}
TCP(cwnd_event, gives_its_context);

OPS __reject("doesn't have 2-th argument") int gives_a_shorter_context(__u64 *ctx)
{
	return reads_the_context(ctx);
}
TCP(ssthresh, gives_a_shorter_context);

/* ----------------------------------------------------------------------------- sleeping */

SEC("struct_ops.s") __accept int may_sleep(__u64 *ctx)
{
	return 0;
}
DUMMY(test_sleepable, may_sleep);

SEC("struct_ops.s") __reject("attach to unsupported member test_2 of struct bpf_dummy_ops")
int may_not_sleep(__u64 *ctx)
{
	return 0;
}
DUMMY(test_2, may_not_sleep);

extern int bpf_copy_from_user_str(void *dst, __u32 len, const void *src, __u64 flags) __ksym;

SEC("struct_ops.s") __accept int sleeps(__u64 *ctx)
{
	char text[8];

	return bpf_copy_from_user_str(text, sizeof(text), (void *)1, 0);
}
DUMMY(test_sleepable, sleeps);

SEC("struct_ops") __reject("program must be sleepable to call sleepable kfunc")
int sleeps_where_nobody_may(__u64 *ctx)
{
	char text[8];

	return bpf_copy_from_user_str(text, sizeof(text), (void *)1, 0);
}
DUMMY(test_sleepable, sleeps_where_nobody_may);

SEC("struct_ops.s") __reject("kernel func bpf_copy_from_user_str is sleepable within")
__kernel_accepts
__reason("what the network brings in is worked on in interrupts; Linux does not look")
int sleeps_in_an_interrupt(__u64 *ctx)
{
	char text[8];

	return bpf_copy_from_user_str(text, sizeof(text), (void *)1, 0);
}
TCP(ssthresh, sleeps_in_an_interrupt);
