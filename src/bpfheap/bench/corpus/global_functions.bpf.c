/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that are verified once, by their types, wherever they are called from. */
#include "corpus.h"

struct range {
	__u32 low;
	__u32 high;
};

__noinline int clamp(int v, int low, int high)
{
	if (v < low)
		return low;
	if (v > high)
		return high;
	return v;
}

__noinline int width(struct range *range)
{
	if (!range)
		return 0;
	return range->high - range->low;
}

__noinline int checksum(struct __sk_buff *skb)
{
	int sum = 0;

	for (int i = 0; i < 5; i++)
		sum += skb->cb[i];
	return sum;
}

SEC("tc")
int global_functions(struct __sk_buff *skb)
{
	struct range range = {.low = skb->mark, .high = skb->hash};
	int sum = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 16; i++) {
		sum += clamp(skb->len + i, 64, 1500);
		range.low += i;
		sum ^= width(&range);
	}
	return (sum + checksum(skb)) & 1;
}
