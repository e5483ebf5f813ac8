/* SPDX-License-Identifier: Apache-2.0 */
/* A ChaCha20 block: sixteen words live at once, so most of them are spilled. */
#include "corpus.h"

struct block {
	__u32 words[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct block);
} blocks SEC(".maps");

#define ROTL(x, n) ((x) << (n) | (x) >> (32 - (n)))
#define QUARTER(a, b, c, d)                                                                   \
	w[a] += w[b]; w[d] = ROTL(w[d] ^ w[a], 16);                                           \
	w[c] += w[d]; w[b] = ROTL(w[b] ^ w[c], 12);                                           \
	w[a] += w[b]; w[d] = ROTL(w[d] ^ w[a], 8);                                            \
	w[c] += w[d]; w[b] = ROTL(w[b] ^ w[c], 7);

SEC("syscall")
int chacha20_block(void *ctx)
{
	__u32 from = 0, to = 1, w[16];
	struct block *in = bpf_map_lookup_elem(&blocks, &from);
	struct block *out = bpf_map_lookup_elem(&blocks, &to);

	if (!in || !out)
		return 1;
#pragma unroll
	for (int i = 0; i < 16; i++)
		w[i] = in->words[i];
#pragma clang loop unroll(disable)
	for (int round = 0; round < 10; round++) {
		QUARTER(0, 4, 8, 12)
		QUARTER(1, 5, 9, 13)
		QUARTER(2, 6, 10, 14)
		QUARTER(3, 7, 11, 15)
		QUARTER(0, 5, 10, 15)
		QUARTER(1, 6, 11, 12)
		QUARTER(2, 7, 8, 13)
		QUARTER(3, 4, 9, 14)
	}
#pragma unroll
	for (int i = 0; i < 16; i++)
		out->words[i] = w[i] + in->words[i];
	return 0;
}
