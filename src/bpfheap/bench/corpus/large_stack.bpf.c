/* SPDX-License-Identifier: Apache-2.0 */
/* Fills and sums an array on the stack eighty times, by offsets that a loop counts. */
#include "corpus.h"

#define N 60

SEC("tc")
int large_stack(struct __sk_buff *skb)
{
	__u64 words[N], sum = skb->len;

#pragma clang loop unroll(disable)
	for (int i = 0; i < N; i++)
		words[i] = skb->hash + i;
#pragma clang loop unroll(disable)
	for (int turn = 0; turn < 80; turn++) {
#pragma clang loop unroll(disable)
		for (int i = 0; i < N; i++) {
			sum += words[i];
			words[i] = sum ^ turn;
		}
	}
	return sum & 1;
}
