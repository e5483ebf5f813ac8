/* SPDX-License-Identifier: Apache-2.0 */
/* The greatest common divisor by division, at most as many steps as 64 bits can take. */
#include "corpus.h"

SEC("tc")
int gcd(struct __sk_buff *skb)
{
	__u64 a = (__u64)skb->hash << 32 | skb->mark, b = (__u64)skb->cb[0] << 32 | skb->cb[1];

#pragma clang loop unroll(disable)
	for (int i = 0; i < 96; i++) {
		__u64 rest;

		if (!b)
			return a & 1;
		rest = a % b;
		a = b;
		b = rest;
	}
	return -1;
}
