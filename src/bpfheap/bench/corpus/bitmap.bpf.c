/* SPDX-License-Identifier: Apache-2.0 */
/* Hands out numbers from a bitmap: finds a clear bit, sets it by compare and exchange. */
#include "corpus.h"

#define WORDS 16

struct bitmap {
	__u64 words[WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bitmap);
} bitmaps SEC(".maps");

SEC("syscall")
int bitmap(void *ctx)
{
	__u32 key = 0;
	struct bitmap *map = bpf_map_lookup_elem(&bitmaps, &key);

	if (!map)
		return -1;
	for (int i = 0; i < WORDS; i++) {
		__u64 word = map->words[i];

		if (word == ~0ULL)
			continue;
		for (int bit = 0; bit < 64; bit += 8) {
			__u64 byte = word >> bit & 0xff;
			__u64 clear;

			if (byte == 0xff)
				continue;
			clear = ~byte & (byte + 1);
			if (__sync_val_compare_and_swap(&map->words[i], word, word | clear << bit) == word)
				return i * 64 + bit;
		}
	}
	return -1;
}
