/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen functions, each called three times: what is known of them is found anew every time. */
#include "corpus.h"

#define FUNCTION(n)                                                                           \
	static __noinline __u32 step_##n(__u32 a, __u32 b)                                    \
	{                                                                                     \
		if (a > b)                                                                    \
			return a - b * n;                                                     \
		if (a & n)                                                                    \
			return b >> (n & 7);                                                  \
		return a ^ b;                                                                 \
	}

FUNCTION(1) FUNCTION(2) FUNCTION(3) FUNCTION(4) FUNCTION(5) FUNCTION(6) FUNCTION(7) FUNCTION(8)
FUNCTION(9) FUNCTION(10) FUNCTION(11) FUNCTION(12) FUNCTION(13) FUNCTION(14) FUNCTION(15)
FUNCTION(16)

#define CALL(n) v = step_##n(v, skb->cb[n % 5]);
#define CALL_ALL                                                                              \
	CALL(1) CALL(2) CALL(3) CALL(4) CALL(5) CALL(6) CALL(7) CALL(8) CALL(9) CALL(10)      \
	CALL(11) CALL(12) CALL(13) CALL(14) CALL(15) CALL(16)

SEC("tc")
int many_functions(struct __sk_buff *skb)
{
	__u32 v = skb->hash;

	CALL_ALL
	CALL_ALL
	CALL_ALL
	return v & 1;
}
