/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that call the next one, each with more on its stack than the caller's. */
#include "corpus.h"

#define LINK(n, next)                                                                         \
	static __noinline __u64 link_##n(__u64 *above, __u32 at)                              \
	{                                                                                     \
		__u64 mine[2] = {*above + n, at};                                             \
		__u64 below = next(mine, at + 1);                                             \
									                      \
		*above ^= mine[0];                                                            \
		return below + mine[1];                                                       \
	}

static __noinline __u64 last(__u64 *above, __u32 at)
{
	*above *= 3;
	return at;
}

LINK(6, last)
LINK(5, link_6)
LINK(4, link_5)
LINK(3, link_4)
LINK(2, link_3)
LINK(1, link_2)

SEC("tc")
int call_chain(struct __sk_buff *skb)
{
	__u64 top = skb->len, result = link_1(&top, skb->mark & 7);

	if (top & 1)
		result += link_3(&top, 4);
	return (result ^ top) & 1;
}
