/* SPDX-License-Identifier: Apache-2.0 */
/* A filter of twelve rules from a table of constants, by fields of the context. */
#include "corpus.h"

struct rule {
	__u32 protocol;
	__u32 shortest;
	__u32 longest;
	__u32 interface;
	__u32 result;
};

static const struct rule rules[12] = {
	{ETH_P_IP, 0, 64, 0, 0},	{ETH_P_IP, 65, 1500, 1, 128},
	{ETH_P_IP, 65, 1500, 2, 256},	{ETH_P_IP, 1501, 9000, 0, 64},
	{ETH_P_IPV6, 0, 96, 0, 0},	{ETH_P_IPV6, 97, 1500, 1, 128},
	{ETH_P_IPV6, 97, 1500, 2, 256},	{ETH_P_IPV6, 1501, 9000, 0, 64},
	{ETH_P_8021Q, 0, 1504, 0, 32},	{ETH_P_8021AD, 0, 1508, 0, 32},
	{0, 0, 9000, 3, 0},		{0, 0, 65535, 0, 16},
};

SEC("socket")
int socket_rules(struct __sk_buff *skb)
{
	__u32 protocol = bpf_ntohs(skb->protocol), len = skb->len;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 12; i++) {
		const struct rule *rule = &rules[i];

		if (rule->protocol && rule->protocol != protocol)
			continue;
		if (len < rule->shortest || len > rule->longest)
			continue;
		if (rule->interface && rule->interface != skb->ifindex)
			continue;
		return rule->result;
	}
	return 0;
}
