/* SPDX-License-Identifier: Apache-2.0 */
/* FNV-1a over the bytes of a map value, as many as it says it has. */
#include "corpus.h"

struct bytes {
	__u32 len;
	__u8 data[256];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bytes);
} values SEC(".maps");

SEC("syscall")
int fnv_hash(void *ctx)
{
	__u32 key = 0, hash = 0x811c9dc5;
	struct bytes *v = bpf_map_lookup_elem(&values, &key);

	if (!v)
		return 0;
	for (__u32 i = 0; i < sizeof(v->data); i++) {
		if (i >= v->len)
			break;
		hash = (hash ^ v->data[i]) * 0x01000193;
	}
	return hash;
}
