/* SPDX-License-Identifier: Apache-2.0 */
/* Four loops in one another, with a branch in the innermost. */
#include "corpus.h"

SEC("tc")
int nested_loops(struct __sk_buff *skb)
{
	__u32 sum = skb->len, bits = skb->hash;

#pragma clang loop unroll(disable)
	for (int a = 0; a < 3; a++)
#pragma clang loop unroll(disable)
		for (int b = 0; b < 5; b++)
#pragma clang loop unroll(disable)
			for (int c = 0; c < 5; c++)
#pragma clang loop unroll(disable)
				for (int d = 0; d < 5; d++) {
					if (bits & 1)
						sum += a * b + c;
					bits = bits >> 1 | bits << 31;
					opaque(sum);
				}
	return sum & 1;
}
