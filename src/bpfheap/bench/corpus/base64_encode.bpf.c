/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 of a map value: three bytes in, four characters out, by an alphabet of constants. */
#include "corpus.h"

struct text {
	__u32 len;
	__u8 data[60];
	__u8 encoded[80];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct text);
} texts SEC(".maps");

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

SEC("syscall")
int base64_encode(void *ctx)
{
	__u32 key = 0;
	struct text *t = bpf_map_lookup_elem(&texts, &key);
	__u32 to = 0;

	if (!t)
		return -1;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i + 3 <= sizeof(t->data); i += 3) {
		__u32 bits = t->data[i] << 16 | t->data[i + 1] << 8 | t->data[i + 2];

		t->encoded[to] = alphabet[bits >> 18 & 63];
		t->encoded[to + 1] = alphabet[bits >> 12 & 63];
		t->encoded[to + 2] = alphabet[bits >> 6 & 63];
		t->encoded[to + 3] = alphabet[bits & 63];
		to += 4;
	}
	return to;
}
