/* SPDX-License-Identifier: Apache-2.0 */
/* Ten thousand steps of a generator of random numbers: arithmetic in a loop. */
#include "corpus.h"

SEC("tc")
int large_xorshift(struct __sk_buff *skb)
{
	__u64 x = skb->hash | 1;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 10000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	return x & 1;
}
