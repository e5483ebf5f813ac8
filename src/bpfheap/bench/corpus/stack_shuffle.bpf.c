/* SPDX-License-Identifier: Apache-2.0 */
/* Shuffles an array on the stack: reads and writes at offsets that are not constant. */
#include "corpus.h"

#define N 16

SEC("tc")
int stack_shuffle(struct __sk_buff *skb)
{
	__u32 numbers[N] = {}, random = skb->hash;

	for (int i = 0; i < N; i++)
		numbers[i] = i;
#pragma clang loop unroll(disable)
	for (int i = N - 1; i > 0; i--) {
		__u32 other, moved = numbers[i];

		random = random * 1664525 + 1013904223;
		other = random >> 28;
		numbers[i] = numbers[other];
		numbers[other] = moved;
	}
	return numbers[skb->priority & (N - 1)] & 1;
}
