/* SPDX-License-Identifier: Apache-2.0 */
/* A function called fifteen hundred times, which branches and writes to the caller's stack. */
#include "corpus.h"

struct mean {
	__u64 sum;
	__u32 count;
	__u32 most;
};

static __noinline int take(struct mean *mean, __u32 value)
{
	mean->sum += value;
	mean->count++;
	if (value > mean->most) {
		mean->most = value;
		return 1;
	}
	return 0;
}

SEC("tc")
int large_calls(struct __sk_buff *skb)
{
	struct mean mean = {.most = skb->mark};
	__u32 random = skb->hash, rises = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 1500; i++) {
		random = random * 1664525 + 1013904223;
		rises += take(&mean, random >> 8);
	}
	return mean.sum > rises;
}
