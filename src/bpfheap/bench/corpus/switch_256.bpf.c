/* SPDX-License-Identifier: Apache-2.0 */
/* A switch of 256 cases, each with a body of its own. */
#include "corpus.h"

SEC("tc")
int switch_256(struct __sk_buff *skb)
{
	__u32 result = skb->mark;

	switch (skb->hash & 0xff) {
#define CASE(n)                                                                               \
	case (n):                                                                             \
		result = result * (2 * (n) + 1) + skb->cb[(n) % 5];                           \
		opaque(result);                                                               \
		result ^= result >> ((n) % 13 + 1);                                           \
		break;
	TIMES_256(CASE, 0)
	}
	return result & 1;
}
