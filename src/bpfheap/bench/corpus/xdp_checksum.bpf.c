/* SPDX-License-Identifier: Apache-2.0 */
/* Sums the words of an IPv4 header of any length, each behind a check of the end. */
#include "corpus.h"

SEC("xdp")
int xdp_checksum(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	__u16 *word = (void *)ip;
	__u32 sum = 0, words;

	if ((void *)(ip + 1) > data_end)
		return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->version != 4)
		return XDP_PASS;
	words = ip->ihl * 2;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < 30; i++) {
		if (i >= words)
			break;
		if ((void *)(word + 1) > data_end)
			return XDP_DROP;
		sum += *word++;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff ? XDP_PASS : XDP_DROP;
}
