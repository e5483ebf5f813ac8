/* SPDX-License-Identifier: Apache-2.0 */
/* TCP segments that are sent again. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#define AF_INET 2

struct event {
	__be32 saddr;
	__be32 daddr;
	__u16 sport;
	__u16 dport;
	__u32 state;
};

/* For the test, so that the type is in BTF. */
const struct event *unused __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} events SEC(".maps");

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(sent_again, const struct sock *sk)
{
	struct event event = {
		.saddr = sk->__sk_common.skc_rcv_saddr,
		.daddr = sk->__sk_common.skc_daddr,
		/* This one is in host order. */
		.sport = sk->__sk_common.skc_num,
		.dport = bpf_ntohs(sk->__sk_common.skc_dport),
		.state = sk->__sk_common.skc_state,
	};

	if (sk->__sk_common.skc_family != AF_INET)
		return 0;
	/* The mistake: on all CPUs but the first, events are lost. */
	bpf_perf_event_output(ctx, &events, 0, &event, sizeof(event));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
