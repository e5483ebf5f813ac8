/* SPDX-License-Identifier: Apache-2.0 */
/* From the first state to the last: how long TCP connections live, and what went over them. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "corpus.h"

#define AF_INET 2
#define AF_INET6 10
#define PORTS 16
#define STATES 13

struct connection {
	__u64 born_ns;
	__u64 changed_ns;
	__u64 in_state_ns[STATES];
	__u32 pid;
	__u8 incoming;
	char comm[16];
};

struct closed_event {
	__u64 lived_ns;
	__u64 in_state_ns[STATES];
	__u64 received;
	__u64 acked;
	__u32 srtt_us;
	__u32 retransmits;
	__u32 pid;
	__u16 family;
	__u16 local_port;
	__u16 remote_port;
	__u8 incoming;
	__u8 last_state;
	__u8 local[16];
	__u8 remote[16];
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct connection);
} connections SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct closed_event);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} closed SEC(".maps");

/* Ports of either end that are told of, up to the first 0; all if there are none. */
const volatile __u16 ports[PORTS] = {22, 25, 53, 80, 443, 993, 3306, 5432, 6379, 8080, 8443};
const volatile __u16 only_family = 0;

static __always_inline int is_wanted(__u16 local, __u16 remote)
{
	if (!ports[0])
		return 1;
#pragma clang loop unroll(disable)
	for (int i = 0; i < PORTS; i++) {
		__u16 port = ports[i];

		if (!port)
			break;
		if (port == local || port == remote)
			return 1;
	}
	return 0;
}

static __always_inline void begin(__u64 cookie, __u64 now, int state)
{
	struct connection new = {.born_ns = now, .changed_ns = now};

	new.incoming = state == TCP_SYN_RECV;
	/* An incoming one begins in an interrupt; the current task has nothing to do with it. */
	if (!new.incoming) {
		new.pid = bpf_get_current_pid_tgid() >> 32;
		bpf_get_current_comm(new.comm, sizeof(new.comm));
	}
	bpf_map_update_elem(&connections, &cookie, &new, BPF_ANY);
}

static __always_inline void addresses(struct closed_event *event, struct sock *sk)
{
	if (event->family == AF_INET) {
		__u32 local = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		__u32 remote = BPF_CORE_READ(sk, __sk_common.skc_daddr);

		/* As IPv6 writes them. */
		__builtin_memset(event->local, 0, 16);
		__builtin_memset(event->remote, 0, 16);
		event->local[10] = event->local[11] = 0xff;
		event->remote[10] = event->remote[11] = 0xff;
		__builtin_memcpy(event->local + 12, &local, 4);
		__builtin_memcpy(event->remote + 12, &remote, 4);
	} else {
		BPF_CORE_READ_INTO(&event->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&event->remote, sk, __sk_common.skc_v6_daddr);
	}
}

SEC("raw_tp/inet_sock_set_state")
int tcp_lifetimes(struct bpf_raw_tracepoint_args *ctx)
{
	struct sock *sk = (void *)ctx->args[0];
	struct tcp_sock *tcp = (void *)sk;
	__u32 old = ctx->args[1], new = ctx->args[2];
	__u64 cookie = (__u64)sk, now = bpf_ktime_get_ns();
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	__u16 local = BPF_CORE_READ(sk, __sk_common.skc_num);
	__u16 remote = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	struct closed_event *event;
	struct connection *c;
	__u32 key = 0;

	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	if ((family != AF_INET && family != AF_INET6) || (only_family && family != only_family))
		return 0;
	if (!is_wanted(local, remote))
		return 0;
	if (new == TCP_SYN_SENT || new == TCP_SYN_RECV) {
		begin(cookie, now, new);
		return 0;
	}
	c = bpf_map_lookup_elem(&connections, &cookie);
	if (!c)
		return 0;
	if (old < STATES)
		c->in_state_ns[old] += now - c->changed_ns;
	c->changed_ns = now;
	if (new != TCP_CLOSE)
		return 0;

	event = bpf_map_lookup_elem(&scratch, &key);
	if (!event)
		return 0;
	event->lived_ns = now - c->born_ns;
	event->pid = c->pid;
	event->incoming = c->incoming;
	event->last_state = old;
	event->family = family;
	event->local_port = local;
	event->remote_port = remote;
	__builtin_memcpy(event->comm, c->comm, sizeof(event->comm));
#pragma clang loop unroll(disable)
	for (int i = 0; i < STATES; i++)
		event->in_state_ns[i] = c->in_state_ns[i];
	event->received = BPF_CORE_READ(tcp, bytes_received);
	event->acked = BPF_CORE_READ(tcp, bytes_acked);
	event->srtt_us = BPF_CORE_READ(tcp, srtt_us) >> 3;
	event->retransmits = BPF_CORE_READ(tcp, total_retrans);
	addresses(event, sk);
	bpf_ringbuf_output(&closed, event, sizeof(*event), 0);
	bpf_map_delete_elem(&connections, &cookie);
	return 0;
}
