/* SPDX-License-Identifier: Apache-2.0 */
/* What a socket for packets (AF_PACKET, SOCK_DGRAM) gets to see, from the IP header on: DNS, and of
 * the rest nothing.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define ETH_P_IP 0x0800

SEC("socket")
int only_dns(struct __sk_buff *skb)
{
	struct iphdr ip;
	__be16 ports[2];

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return 0;
	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.protocol != IPPROTO_UDP)
		return 0;
	if (bpf_skb_load_bytes(skb, ip.ihl * 4, ports, sizeof(ports)))
		return 0;
	if (ports[0] != bpf_htons(53) && ports[1] != bpf_htons(53))
		return 0;
	/* The mistake: 1 does not mean yes, but one byte of the packet. */
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
