/* SPDX-License-Identifier: Apache-2.0 */
/* No pings, also if they come in one or two VLANs. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define ETH_P_IP 0x0800
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define ICMP_ECHO 8

SEC("xdp")
int ping_filter(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct icmphdr *icmp;
	struct iphdr *ip;
	__be16 protocol;
	void *at;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	protocol = eth->h_proto;
	at = eth + 1;
	/* The mistake: a VLAN inside a VLAN is not looked into. */
	for (int i = 0; i < 1; i++) {
		struct vlan_hdr *vlan = at;

		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(vlan + 1) > end)
			return XDP_PASS;
		protocol = vlan->h_vlan_encapsulated_proto;
		at = vlan + 1;
	}
	ip = at;
	if (protocol != bpf_htons(ETH_P_IP) || (void *)(ip + 1) > end)
		return XDP_PASS;
	icmp = at + ip->ihl * 4;
	if (ip->protocol != IPPROTO_ICMP || (void *)(icmp + 1) > end)
		return XDP_PASS;
	return icmp->type == ICMP_ECHO ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
