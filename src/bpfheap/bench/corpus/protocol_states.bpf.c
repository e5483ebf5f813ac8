/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's state machine: a state and a message give the next state. */
#include "corpus.h"

enum state { CLOSED, LISTEN, SYN_SENT, SYN_RECEIVED, ESTABLISHED, FIN_WAIT, CLOSE_WAIT, TIME_WAIT };
enum message { SYN = 1, ACK = 2, FIN = 4, RST = 8 };

struct connection {
	__u32 state;
	__u32 bad;
	__u64 since;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct connection);
} connections SEC(".maps");

static __always_inline __u32 next_state(__u32 state, __u32 message)
{
	if (message & RST)
		return CLOSED;
	switch (state) {
	case CLOSED:
		return message & SYN ? SYN_SENT : CLOSED;
	case LISTEN:
		return message & SYN ? SYN_RECEIVED : LISTEN;
	case SYN_SENT:
		if (message & SYN)
			return message & ACK ? ESTABLISHED : SYN_RECEIVED;
		return SYN_SENT;
	case SYN_RECEIVED:
		return message & ACK ? ESTABLISHED : SYN_RECEIVED;
	case ESTABLISHED:
		return message & FIN ? CLOSE_WAIT : ESTABLISHED;
	case CLOSE_WAIT:
		return message & FIN ? TIME_WAIT : FIN_WAIT;
	case FIN_WAIT:
		return message & (FIN | ACK) ? TIME_WAIT : FIN_WAIT;
	default:
		return CLOSED;
	}
}

SEC("tc")
int protocol_states(struct __sk_buff *skb)
{
	__u64 key = (__u64)skb->cb[0] << 32 | skb->cb[1];
	struct connection *c = bpf_map_lookup_elem(&connections, &key);
	__u32 state;

	if (!c)
		return TC_ACT_SHOT;
	if (c->state > TIME_WAIT) {
		c->bad++;
		return TC_ACT_SHOT;
	}
	state = next_state(c->state, skb->cb[2]);
	if (state != c->state) {
		c->state = state;
		c->since = bpf_ktime_get_ns();
	}
	return TC_ACT_OK;
}
