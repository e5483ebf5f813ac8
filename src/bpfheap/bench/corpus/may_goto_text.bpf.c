/* SPDX-License-Identifier: Apache-2.0 */
/* Measures a text in a loop that the kernel's time ends, if nothing else does. */
#include "corpus.h"

struct text {
	char data[4096];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct text);
} texts SEC(".maps");

__u32 at;

SEC("syscall")
int may_goto_text(void *ctx)
{
	__u32 key = 0, words = 0;
	struct text *t = bpf_map_lookup_elem(&texts, &key);

	if (!t)
		return -1;
	for (at = 0;; at++) {
		__u32 here = at;

		if (here >= sizeof(t->data) || !t->data[here])
			break;
		words ^= t->data[here] == ' ';
		cond_break;
	}
	return words;
}
