/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32 bit by bit: two loops, the inner one branches on the lowest bit. */
#include "corpus.h"

struct bytes {
	__u8 data[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bytes);
} values SEC(".maps");

SEC("syscall")
int crc32_bits(void *ctx)
{
	__u32 key = 0, crc = ~0U;
	struct bytes *v = bpf_map_lookup_elem(&values, &key);

	if (!v)
		return 0;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < sizeof(v->data); i++) {
		crc ^= v->data[i];
#pragma clang loop unroll(disable)
		for (int bit = 0; bit < 8; bit++) {
			__u32 low = crc & 1;

			crc >>= 1;
			if (low)
				crc ^= 0xedb88320;
			opaque(crc);
		}
	}
	return ~crc;
}
