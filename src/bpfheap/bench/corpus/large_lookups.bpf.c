/* SPDX-License-Identifier: Apache-2.0 */
/* Two thousand lookups by keys of a loop, each checked and counted up. */
#include "corpus.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} counts SEC(".maps");

SEC("syscall")
int large_lookups(void *ctx)
{
	int found = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 2000; i++) {
		__u64 key = (__u64)i * 0x9e3779b97f4a7c15ULL;
		__u64 *count = bpf_map_lookup_elem(&counts, &key);

		if (!count)
			continue;
		*count += 1;
		found++;
	}
	return found;
}
