/* SPDX-License-Identifier: Apache-2.0 */
/* Totals, extremes and a moving average in global variables. */
#include "corpus.h"

__u64 total, seen, mean;
__u32 least = ~0U, most;
const volatile __u32 weight = 8;

SEC("socket")
int globals(struct __sk_buff *skb)
{
	__u32 len = skb->len;
	__u32 shift = weight & 15;

	total += len;
	seen++;
	if (len < least)
		least = len;
	if (len > most)
		most = len;
	mean = mean - (mean >> shift) + ((__u64)len << 8 >> shift);
	return len > mean >> 8;
}
