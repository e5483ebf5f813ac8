/* SPDX-License-Identifier: Apache-2.0 */
/* Is a text well-formed UTF-8? A state machine over its bytes. */
#include "corpus.h"

struct text {
	__u8 data[48];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct text);
} texts SEC(".maps");

SEC("syscall")
int utf8_check(void *ctx)
{
	__u32 key = 0, more = 0, characters = 0;
	struct text *t = bpf_map_lookup_elem(&texts, &key);

	if (!t)
		return -1;
	for (__u32 i = 0; i < sizeof(t->data); i++) {
		__u8 c = t->data[i];

		if (more) {
			if ((c & 0xc0) != 0x80)
				return -1;
			more--;
			continue;
		}
		if (!c)
			break;
		characters++;
		if (c < 0x80)
			more = 0;
		else if ((c & 0xe0) == 0xc0)
			more = 1;
		else if ((c & 0xf0) == 0xe0)
			more = 2;
		else if ((c & 0xf8) == 0xf0)
			more = 3;
		else
			return -1;
	}
	return more ? -1 : characters;
}
