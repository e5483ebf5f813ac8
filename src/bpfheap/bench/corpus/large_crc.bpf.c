/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32 of 512 bytes, bit by bit without a branch. */
#include "corpus.h"

struct buffer {
	__u8 bytes[512];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct buffer);
} buffers SEC(".maps");

SEC("syscall")
int large_crc(void *ctx)
{
	__u32 key = 0, crc = ~0U;
	struct buffer *b = bpf_map_lookup_elem(&buffers, &key);

	if (!b)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < sizeof(b->bytes); i++) {
		crc ^= b->bytes[i];
#pragma clang loop unroll(disable)
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0xedb88320 & -(crc & 1));
	}
	return ~crc;
}
