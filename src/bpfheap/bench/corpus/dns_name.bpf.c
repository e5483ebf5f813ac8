/* SPDX-License-Identifier: Apache-2.0 */
/* Walks the labels of a DNS name in a message: each length says where the next one is. */
#include "corpus.h"

struct message {
	__u32 len;
	__u8 data[256];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct message);
} messages SEC(".maps");

SEC("syscall")
int dns_name(void *ctx)
{
	__u32 key = 0, at = 12, hash = 0;
	struct message *m = bpf_map_lookup_elem(&messages, &key);

	if (!m)
		return -1;
#pragma clang loop unroll(disable)
	for (int label = 0; label < 32; label++) {
		__u32 len;

		if (at >= sizeof(m->data))
			return -1;
		len = m->data[at];
		if (!len)
			return hash;
		if (len > 63)
			return -1;
		hash = hash * 31 + len;
		at += len + 1;
	}
	return -1;
}
