/* SPDX-License-Identifier: Apache-2.0 */
/* A congestion control, and functions of the struct that Linux has for its tests. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

extern void tcp_cong_avoid_ai(struct tcp_sock *tp, __u32 w, __u32 acked) __ksym;

__u64 begun;

SEC("struct_ops")
void BPF_PROG(counts_init, struct sock *sk)
{
	begun++;
}

SEC("struct_ops")
__u32 BPF_PROG(counts_ssthresh, struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;

	return tp->snd_cwnd > 4 ? tp->snd_cwnd / 2 : 2;
}

SEC("struct_ops")
void BPF_PROG(counts_cong_avoid, struct sock *sk, __u32 ack, __u32 acked)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;

	tp->snd_cwnd += acked;
	tp->snd_cwnd_stamp = ack;
	if (tp->snd_cwnd > 100)
		tcp_cong_avoid_ai(tp, tp->snd_cwnd, acked);
}

SEC(".struct_ops.link")
struct tcp_congestion_ops counts = {
	.init = (void *)counts_init,
	.ssthresh = (void *)counts_ssthresh,
	.cong_avoid = (void *)counts_cong_avoid,
	.flags = 2,
	.name = "counts",
};

SEC("struct_ops")
int BPF_PROG(dummy_test_1, struct bpf_dummy_ops_state *state)
{
	if (!state)
		return -1;
	state->val += 5;
	return state->val;
}

SEC("struct_ops")
int BPF_PROG(dummy_test_2, struct bpf_dummy_ops_state *state, int a1, unsigned short a2, char a3,
	     unsigned long a4)
{
	return state->val + a1 + a2 + a3 + a4;
}

SEC(".struct_ops")
struct bpf_dummy_ops dummy = {
	.test_1 = (void *)dummy_test_1,
	.test_2 = (void *)dummy_test_2,
};
