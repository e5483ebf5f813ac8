/* SPDX-License-Identifier: Apache-2.0 */
/* Limits a rate: a bucket of tokens for each mark. */
#include "corpus.h"

struct bucket {
	__u64 tokens;
	__u64 filled_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct bucket);
} buckets SEC(".maps");

const volatile __u64 tokens_per_ms = 1000;
const volatile __u64 burst = 64000;

SEC("tc")
int token_bucket(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	__u64 now = bpf_ktime_get_ns();
	struct bucket *b = bpf_map_lookup_elem(&buckets, &key);
	__u64 tokens;

	if (!b) {
		struct bucket full = {.tokens = burst, .filled_ns = now};

		bpf_map_update_elem(&buckets, &key, &full, BPF_ANY);
		return TC_ACT_OK;
	}
	tokens = b->tokens + (now - b->filled_ns) / 1000000 * tokens_per_ms;
	if (tokens > burst)
		tokens = burst;
	b->filled_ns = now;
	if (tokens < skb->len) {
		b->tokens = tokens;
		return TC_ACT_SHOT;
	}
	b->tokens = tokens - skb->len;
	return TC_ACT_OK;
}
