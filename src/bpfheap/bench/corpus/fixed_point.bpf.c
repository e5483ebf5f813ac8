/* SPDX-License-Identifier: Apache-2.0 */
/* A logarithm and a square root in fixed point: shifts, comparisons, products. */
#include "corpus.h"

static __always_inline __u32 log2_fixed(__u64 v)
{
	__u32 result = 0;

	if (!v)
		return 0;
#pragma clang loop unroll(disable)
	for (int bit = 63; bit > 0; bit--) {
		if (v >> 63)
			break;
		v <<= 1;
		result++;
	}
	result = 63 - result;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 8; i++) {
		__u64 half = v >> 32;

		v = half * half;
		result = result << 1 | v >> 63;
		v <<= !(v >> 63);
	}
	return result;
}

static __always_inline __u32 root(__u64 v)
{
	__u64 guess = 1ULL << 16;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 20; i++) {
		__u64 next = (guess + v / (guess | 1)) >> 1;

		if (next == guess)
			break;
		guess = next;
	}
	return guess;
}

SEC("raw_tp/sched_switch")
int fixed_point(struct bpf_raw_tracepoint_args *ctx)
{
	return log2_fixed(ctx->args[0]) + root(ctx->args[1]);
}
