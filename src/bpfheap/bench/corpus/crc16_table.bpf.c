/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-16 with a table of constants for four bits at a time. */
#include "corpus.h"

struct bytes {
	__u8 data[128];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bytes);
} values SEC(".maps");

static const __u16 table[16] = {
	0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
	0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
};

SEC("syscall")
int crc16_table(void *ctx)
{
	__u32 key = 0;
	__u16 crc = 0xffff;
	struct bytes *v = bpf_map_lookup_elem(&values, &key);

	if (!v)
		return 0;
	for (__u32 i = 0; i < sizeof(v->data); i++) {
		crc = crc << 4 ^ table[crc >> 12 ^ v->data[i] >> 4];
		crc = crc << 4 ^ table[crc >> 12 ^ (v->data[i] & 15)];
	}
	return crc;
}
