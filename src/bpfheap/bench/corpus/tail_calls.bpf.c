/* SPDX-License-Identifier: Apache-2.0 */
/* Goes on in another program, by the protocol. */
#include "corpus.h"

int handle_ip(struct __sk_buff *skb);
int handle_other(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, sizeof(__u32));
	__array(values, int(struct __sk_buff *));
} handlers SEC(".maps") = {.values = {handle_ip, handle_other}};

__u64 handled[2];

SEC("tc/ip")
int handle_ip(struct __sk_buff *skb)
{
	handled[0] += skb->len;
	return TC_ACT_OK;
}

SEC("tc/other")
int handle_other(struct __sk_buff *skb)
{
	handled[1] += skb->len;
	return TC_ACT_PIPE;
}

SEC("tc")
int tail_calls(struct __sk_buff *skb)
{
	if (skb->protocol == bpf_htons(ETH_P_IP))
		bpf_tail_call(skb, &handlers, 0);
	else
		bpf_tail_call(skb, &handlers, skb->mark & 3);
	return TC_ACT_SHOT;
}
