/* SPDX-License-Identifier: Apache-2.0 */
/* Looks for a byte in the first 128 of a packet, then reads on after pulling more in. */
#include "corpus.h"

SEC("tc")
int tc_scan(struct __sk_buff *skb)
{
	__u8 *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	int found = -1;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 128; i++) {
		if (data + i + 1 > data_end)
			break;
		if (data[i] == 0xff) {
			found = i;
			break;
		}
	}
	if (found < 0)
		return TC_ACT_OK;
	if (bpf_skb_pull_data(skb, 256))
		return TC_ACT_SHOT;
	data = (void *)(long)skb->data;
	data_end = (void *)(long)skb->data_end;
	if (data + 256 > data_end)
		return TC_ACT_SHOT;
	return data[128 + (found & 127)] == 0xff ? TC_ACT_OK : TC_ACT_SHOT;
}
