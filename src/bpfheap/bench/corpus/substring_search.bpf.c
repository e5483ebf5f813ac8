/* SPDX-License-Identifier: Apache-2.0 */
/* Finds a pattern in a text, the simple way: a loop in a loop that both end early. */
#include "corpus.h"

struct text {
	char pattern[16];
	char data[24];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct text);
} texts SEC(".maps");

SEC("syscall")
int substring_search(void *ctx)
{
	__u32 key = 0;
	struct text *t = bpf_map_lookup_elem(&texts, &key);

	if (!t)
		return -1;
#pragma clang loop unroll(disable)
	for (__u32 start = 0; start < sizeof(t->data); start++) {
		__u32 i;

#pragma clang loop unroll(disable)
		for (i = 0; i < sizeof(t->pattern) && start + i < sizeof(t->data); i++)
			if (t->pattern[i] && t->pattern[i] != t->data[start + i])
				break;
		if (i == sizeof(t->pattern))
			return start;
	}
	return -1;
}
