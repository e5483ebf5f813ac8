/* SPDX-License-Identifier: Apache-2.0 */
/* Indices that signed comparisons, shifts and masks keep within an array. */
#include "corpus.h"

struct window {
	__s8 values[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct window);
} windows SEC(".maps");

SEC("tc")
int signed_ranges(struct __sk_buff *skb)
{
	__u32 key = skb->mark >> 29;
	struct window *w = bpf_map_lookup_elem(&windows, &key);
	__s64 offset = 0, wide;
	__s32 sum = 0;

	if (!w)
		return 0;
	offset = (__s64)skb->hash - 1000;
	if (offset > -32) {
		if (offset < 32)
			sum += w->values[offset + 32];
	}
	wide = (__s32)skb->cb[0];
	opaque(wide);
	if (wide >= -8 && wide <= 7) {
		wide += 32;
		opaque(wide);
		sum += w->values[wide];
	}
	sum += w->values[(skb->cb[1] >> 24) & 63];
	offset = skb->cb[2] & 63;
	if (offset >= 16)
		sum += w->values[offset - 16];
	wide = (__s64)skb->cb[3] - 1000;
	if (wide > 0 && wide <= 63) {
		wide = 63 - wide;
		opaque(wide);
		sum -= w->values[wide];
	}
	offset = (__u32)sum >> 20;
	if (offset > 63)
		offset = 63;
	w->values[offset] = skb->len;
	return sum & 1;
}
