/* SPDX-License-Identifier: Apache-2.0 */
/* Skips up to four VLAN tags, and drops what has a forbidden one. */
#include "corpus.h"

SEC("xdp")
int xdp_vlans(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	void *next = eth + 1;
	__u16 proto;

	if (next > data_end)
		return XDP_DROP;
	proto = eth->h_proto;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		struct vlan_hdr *vlan = next;

		if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(vlan + 1) > data_end)
			return XDP_DROP;
		if ((bpf_ntohs(vlan->tci) & 0xfff) == 4000 + i)
			return XDP_DROP;
		proto = vlan->proto;
		next = vlan + 1;
	}
	return XDP_PASS;
}
