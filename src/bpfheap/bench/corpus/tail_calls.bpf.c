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

struct handled {
	__u64 packets;
	__u64 bytes;
	__u64 marked;
};

struct handled handled[2];

SEC("tc/ip")
int handle_ip(struct __sk_buff *skb)
{
	handled[0].packets++;
	handled[0].bytes += skb->len;
	if (skb->mark)
		handled[0].marked++;
	return TC_ACT_OK;
}

SEC("tc/other")
int handle_other(struct __sk_buff *skb)
{
	handled[1].packets++;
	handled[1].bytes += skb->len;
	if (skb->mark)
		handled[1].marked++;
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
