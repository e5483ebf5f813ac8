/* SPDX-License-Identifier: Apache-2.0 */
/* 64 decisions in a row, each about a field read anew; all paths meet after each. */
#include "corpus.h"

SEC("tc")
int decisions_64(struct __sk_buff *skb)
{
	volatile struct __sk_buff *fresh = skb;
	__u64 score = skb->len;

#define DECIDE(n)                                                                             \
	if (fresh->cb[(n) % 5] > (n) * 40503U)                                                \
		score += (n);                                                                 \
	else                                                                                  \
		score ^= (n);                                                                 \
	opaque(score);
	TIMES_64(DECIDE, 1)
	return score & 1;
}
