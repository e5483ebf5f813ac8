/* SPDX-License-Identifier: Apache-2.0 */
/* How deep in brackets does a piece of JSON end? Strings, escapes and brackets as a state machine. */
#include "corpus.h"

struct text {
	__u32 outer;
	__u8 data[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct text);
} texts SEC(".maps");

enum state { PLAIN, STRING, ESCAPE };

SEC("syscall")
int json_depth(void *ctx)
{
	__u32 key = 0, depth;
	enum state state = PLAIN;
	struct text *t = bpf_map_lookup_elem(&texts, &key);

	if (!t)
		return -1;
	depth = t->outer;
	for (__u32 i = 0; i < sizeof(t->data); i++) {
		__u8 c = t->data[i];

		if (state == ESCAPE) {
			state = STRING;
		} else if (state == STRING) {
			if (c == '\\')
				state = ESCAPE;
			else if (c == '"')
				state = PLAIN;
		} else if (c == '"') {
			state = STRING;
		} else if (c == '{' || c == '[') {
			depth++;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return depth;
}
