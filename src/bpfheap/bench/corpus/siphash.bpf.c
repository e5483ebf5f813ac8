/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-2-4 of four words: straight arithmetic on 64 bits. */
#include "corpus.h"

struct key64 {
	__u64 key[2];
	__u64 words[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct key64);
} values SEC(".maps");

#define ROTL(x, n) ((x) << (n) | (x) >> (64 - (n)))
#define ROUND                                                                                 \
	v0 += v1; v1 = ROTL(v1, 13) ^ v0; v0 = ROTL(v0, 32);                                  \
	v2 += v3; v3 = ROTL(v3, 16) ^ v2;                                                     \
	v0 += v3; v3 = ROTL(v3, 21) ^ v0;                                                     \
	v2 += v1; v1 = ROTL(v1, 17) ^ v2; v2 = ROTL(v2, 32);

SEC("syscall")
int siphash(void *ctx)
{
	__u32 key = 0;
	struct key64 *k = bpf_map_lookup_elem(&values, &key);
	__u64 v0, v1, v2, v3;

	if (!k)
		return 0;
	v0 = k->key[0] ^ 0x736f6d6570736575ULL;
	v1 = k->key[1] ^ 0x646f72616e646f6dULL;
	v2 = k->key[0] ^ 0x6c7967656e657261ULL;
	v3 = k->key[1] ^ 0x7465646279746573ULL;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		v3 ^= k->words[i];
		ROUND ROUND
		v0 ^= k->words[i];
	}
	v3 ^= 32ULL << 56;
	ROUND ROUND
	v0 ^= 32ULL << 56;
	v2 ^= 0xff;
	ROUND ROUND ROUND ROUND
	v0 ^= v1 ^ v2 ^ v3;
	return v0 ^ v0 >> 32;
}
