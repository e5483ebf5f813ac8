/* SPDX-License-Identifier: Apache-2.0 */
/* A Bloom filter of 8192 bits in an array: four hashes, each a word and a bit. */
#include "corpus.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 128);
	__type(key, __u32);
	__type(value, __u64);
} bits SEC(".maps");

static __always_inline __u32 mix(__u32 v, __u32 seed)
{
	v ^= seed;
	v *= 0x85ebca6b;
	v ^= v >> 13;
	v *= 0xc2b2ae35;
	return v ^ v >> 16;
}

SEC("tc")
int bloom_filter(struct __sk_buff *skb)
{
	__u32 source = skb->hash, missing = 0;

#pragma unroll
	for (int i = 0; i < 4; i++) {
		__u32 hash = mix(source, 0x9e3779b9 * (i + 1));
		__u32 at = hash >> 6 & 127;
		__u64 bit = 1ULL << (hash & 63);
		__u64 *word = bpf_map_lookup_elem(&bits, &at);

		if (!word)
			return TC_ACT_SHOT;
		if (!(*word & bit)) {
			missing++;
			__sync_fetch_and_or(word, bit);
		}
	}
	return missing ? TC_ACT_OK : TC_ACT_PIPE;
}
