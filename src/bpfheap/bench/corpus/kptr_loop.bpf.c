/* SPDX-License-Identifier: Apache-2.0 */
/* Fills an array map with objects in a loop; ends early when there is no memory. */
#include "corpus.h"

struct item {
	__u64 index;
	__u64 data[3];
};

struct slot {
	struct item __kptr *item;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 128);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

SEC("syscall")
int kptr_loop(void *ctx)
{
	int made = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < 128; i++) {
		__u32 key = i;
		struct slot *slot = bpf_map_lookup_elem(&slots, &key);
		struct item *item;

		if (!slot)
			break;
		item = bpf_obj_new(struct item);
		if (!item)
			break;
		item->index = i;
		item->data[i & 1] = made;
		item = bpf_kptr_xchg(&slot->item, item);
		if (item)
			bpf_obj_drop(item);
		made++;
	}
	return made;
}
