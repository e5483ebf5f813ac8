/* SPDX-License-Identifier: Apache-2.0 */
/* One block of SHA-256 (words in the host's order), all rounds written out: thousands of instructions without a branch. */
#include "corpus.h"

struct block {
	__u32 state[8];
	__u32 words[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct block);
} blocks SEC(".maps");

static const __u32 k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

#define ROTR(x, n) ((x) >> (n) | (x) << (32 - (n)))

SEC("syscall")
int sha256_block(void *ctx)
{
	__u32 key = 0, s[8], *w;
	struct block *b = bpf_map_lookup_elem(&blocks, &key);

	if (!b)
		return 1;
	w = b->words;
#pragma unroll
	for (int i = 0; i < 8; i++)
		s[i] = b->state[i];
#pragma unroll
	for (int i = 0; i < 64; i++) {
		__u32 s1 = ROTR(s[4], 6) ^ ROTR(s[4], 11) ^ ROTR(s[4], 25);
		__u32 choice = (s[4] & s[5]) ^ (~s[4] & s[6]);
		__u32 s0 = ROTR(s[0], 2) ^ ROTR(s[0], 13) ^ ROTR(s[0], 22);
		__u32 majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
		__u32 one = s[7] + s1 + choice + k[i] + w[i & 15];
		__u32 x = w[i + 1 & 15], y = w[i + 14 & 15];

		s[7] = s[6];
		s[6] = s[5];
		s[5] = s[4];
		s[4] = s[3] + one;
		s[3] = s[2];
		s[2] = s[1];
		s[1] = s[0];
		s[0] = one + s0 + majority;
		w[i & 15] += (ROTR(x, 7) ^ ROTR(x, 18) ^ x >> 3) + w[i + 9 & 15] +
			     (ROTR(y, 17) ^ ROTR(y, 19) ^ y >> 10);
	}
#pragma unroll
	for (int i = 0; i < 8; i++)
		b->state[i] += s[i];
	return 0;
}
