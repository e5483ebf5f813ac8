/* SPDX-License-Identifier: Apache-2.0 */
/* How long TCP connections take to be made, from SYN to SYN and ACK. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

struct begun {
	__u64 at;
	__u32 pid;
};

struct event {
	__u32 pid;
	__u32 daddr;
	__u16 dport;
	__u64 us;
};

/* For the test, so that the type is in BTF. */
const struct event *unused __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct sock *);
	__type(value, struct begun);
} connecting SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

SEC("fentry/tcp_v4_connect")
int BPF_PROG(connect_begins, struct sock *sk)
{
	struct begun begun = {
		.at = bpf_ktime_get_ns(),
		.pid = bpf_get_current_pid_tgid() >> 32,
	};

	bpf_map_update_elem(&connecting, &sk, &begun, BPF_ANY);
	return 0;
}

SEC("fentry/tcp_rcv_state_process")
int BPF_PROG(segment_arrives, struct sock *sk)
{
	struct begun *begun;
	struct event *e;

	if (sk->__sk_common.skc_state != TCP_SYN_SENT)
		return 0;
	begun = bpf_map_lookup_elem(&connecting, &sk);
	if (!begun)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (e) {
		/* The mistake: when a segment arrives, anybody may be the current task. */
		e->pid = bpf_get_current_pid_tgid() >> 32;
		e->daddr = sk->__sk_common.skc_daddr;
		e->dport = bpf_ntohs(sk->__sk_common.skc_dport);
		e->us = (bpf_ktime_get_ns() - begun->at) / 1000;
		bpf_ringbuf_submit(e, 0);
	}
	bpf_map_delete_elem(&connecting, &sk);
	return 0;
}

SEC("fentry/tcp_v4_destroy_sock")
int BPF_PROG(socket_goes, struct sock *sk)
{
	bpf_map_delete_elem(&connecting, &sk);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
