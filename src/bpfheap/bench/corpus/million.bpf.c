/* SPDX-License-Identifier: Apache-2.0 */
/* A loop of 100,000 steps: too long for a limit of a million instructions. */
#include "corpus.h"

SEC("tc")
int million(struct __sk_buff *skb)
{
	__u64 x = skb->hash | 1;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 100000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	return x & 1;
}
