/* SPDX-License-Identifier: Apache-2.0 */
/* Twenty values that live across calls: more than there are registers, so they are spilled. */
#include "corpus.h"

#define TAKE(n) __u64 v##n = bpf_ktime_get_ns() ^ skb->cb[n % 5];
#define MIX(a, b) v##a = (v##a << (a + 3)) + (v##b ^ v##b >> (b + 5));
#define SUM(n) sum = (sum ^ v##n) * 0x100000001b3ULL;

#define EACH(m)                                                                               \
	m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9)                                     \
	m(10) m(11) m(12) m(13) m(14) m(15) m(16) m(17) m(18) m(19)

SEC("tc")
int spills(struct __sk_buff *skb)
{
	__u64 sum = skb->len;

	EACH(TAKE)
#pragma clang loop unroll(disable)
	for (int i = 0; i < 24; i++) {
		MIX(0, 1) MIX(1, 2) MIX(2, 3) MIX(3, 4) MIX(4, 5) MIX(5, 6) MIX(6, 7) MIX(7, 8)
		MIX(8, 9) MIX(9, 10) MIX(10, 11) MIX(11, 12) MIX(12, 13) MIX(13, 14) MIX(14, 15)
		MIX(15, 16) MIX(16, 17) MIX(17, 18) MIX(18, 19) MIX(19, 0)
		if (v0 & 1)
			v19 += bpf_get_prandom_u32();
	}
	EACH(SUM)
	return sum & 1;
}
