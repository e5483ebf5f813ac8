/* SPDX-License-Identifier: Apache-2.0 */
/* Sums the 16,384 bytes of a map value, one at a time. */
#include "corpus.h"

struct buffer {
	__u8 bytes[16384];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct buffer);
} buffers SEC(".maps");

SEC("tc")
int large_byte_sum(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct buffer *b = bpf_map_lookup_elem(&buffers, &key);
	__u64 sum = 0;

	if (!b)
		return TC_ACT_OK;
#pragma clang loop unroll(disable)
	for (int i = 0; i < sizeof(b->bytes); i++)
		sum += b->bytes[i];
	return sum & 1;
}
