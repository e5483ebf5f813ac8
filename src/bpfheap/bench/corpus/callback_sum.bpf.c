/* SPDX-License-Identifier: Apache-2.0 */
/* Sums with bpf_loop: the callback's state is on the caller's stack. */
#include "corpus.h"

struct sum {
	__u64 total;
	__u32 odd;
	__u32 limit;
};

static int add(__u32 index, void *ctx)
{
	struct sum *sum = ctx;

	sum->total += index;
	if (index & 1)
		sum->odd++;
	return sum->total > sum->limit;
}

SEC("tc")
int callback_sum(struct __sk_buff *skb)
{
	struct sum sum = {.limit = skb->mark};

	bpf_loop(skb->len, add, &sum, 0);
	return sum.odd & 1;
}
