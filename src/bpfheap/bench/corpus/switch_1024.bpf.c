/* SPDX-License-Identifier: Apache-2.0 */
/* A switch of 1,024 cases: a search among them, and a body for each. */
#include "corpus.h"

SEC("tc")
int switch_1024(struct __sk_buff *skb)
{
	__u32 result = skb->mark;

	switch (skb->hash & 0xfff) {
#define CASE(n)                                                                               \
	case (n) * 3:                                                                         \
		result = result * (2 * (n) + 1) + skb->cb[(n) % 5];                           \
		opaque(result);                                                               \
		result ^= result >> ((n) % 13 + 1);                                           \
		break;
	TIMES_1024(CASE, 0)
	}
	return result & 1;
}
