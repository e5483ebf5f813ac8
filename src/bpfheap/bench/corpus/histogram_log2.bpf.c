/* SPDX-License-Identifier: Apache-2.0 */
/* A histogram of powers of two: the logarithm by halving. */
#include "corpus.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} slots SEC(".maps");

static __always_inline __u32 log2_of(__u64 v)
{
	__u32 bit = 0;

	if (v >> 32) {
		bit += 32;
		v >>= 32;
	}
	if (v >> 16) {
		bit += 16;
		v >>= 16;
	}
	if (v >> 8) {
		bit += 8;
		v >>= 8;
	}
	if (v >> 4) {
		bit += 4;
		v >>= 4;
	}
	if (v >> 2) {
		bit += 2;
		v >>= 2;
	}
	return bit + (v >> 1);
}

SEC("raw_tp/sched_switch")
int histogram_log2(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 slot = log2_of(bpf_ktime_get_ns() - ctx->args[1]);
	__u64 *count = bpf_map_lookup_elem(&slots, &slot);

	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}
