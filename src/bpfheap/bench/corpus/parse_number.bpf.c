/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a decimal number with a sign, and finds it too long. */
#include "corpus.h"

struct text {
	__u8 data[32];
	__u64 number;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct text);
} texts SEC(".maps");

SEC("syscall")
int parse_number(void *ctx)
{
	__u32 key = 0, i = 0;
	__u64 number = 0;
	_Bool negative;
	struct text *t = bpf_map_lookup_elem(&texts, &key);

	if (!t)
		return -1;
	negative = t->data[0] == '-';
	if (negative)
		i = 1;
	for (; i < sizeof(t->data); i++) {
		__u8 digit = t->data[i] - '0';

		if (digit > 9)
			break;
		if (number > (~0ULL - digit) / 10)
			return -1;
		number = number * 10 + digit;
	}
	t->number = negative ? -number : number;
	return i;
}
