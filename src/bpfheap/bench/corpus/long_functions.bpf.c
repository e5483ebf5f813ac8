/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen functions of a thousand instructions each, without a branch. */
#include "corpus.h"

#define STEP(n)                                                                               \
	a ^= a << ((n) % 31 + 1);                                                             \
	a = a * ((n) | 1) + b;                                                                \
	b ^= a >> ((n) % 29 + 1);                                                             \
	opaque(a);                                                                            \
	opaque(b);

#define FUNCTION(n)                                                                           \
	static __noinline __u64 part_##n(__u64 a, __u64 b)                                    \
	{                                                                                     \
		TIMES_64(STEP, n * 128)                                                       \
		TIMES_64(STEP, n * 128 + 64)                                                  \
		return a ^ b;                                                                 \
	}

FUNCTION(0) FUNCTION(1) FUNCTION(2) FUNCTION(3) FUNCTION(4) FUNCTION(5) FUNCTION(6) FUNCTION(7)
FUNCTION(8) FUNCTION(9) FUNCTION(10) FUNCTION(11) FUNCTION(12) FUNCTION(13) FUNCTION(14)
FUNCTION(15)

#define CALL(n) v = part_##n(v, skb->mark);

SEC("tc")
int long_functions(struct __sk_buff *skb)
{
	__u64 v = skb->hash;

	CALL(0) CALL(1) CALL(2) CALL(3) CALL(4) CALL(5) CALL(6) CALL(7)
	CALL(8) CALL(9) CALL(10) CALL(11) CALL(12) CALL(13) CALL(14) CALL(15)
	return v & 1;
}
