/* SPDX-License-Identifier: Apache-2.0 */
/* Walks the elements of two maps, counts some and deletes others. */
#include "corpus.h"

struct value {
	__u64 seen_ns;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct value);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} totals SEC(".maps");

struct walk {
	__u64 now;
	__u64 bytes;
	__u32 old;
};

static long visit_flow(void *map, __u32 *key, struct value *value, struct walk *walk)
{
	if (walk->now - value->seen_ns > 60000000000ULL) {
		walk->old++;
		bpf_map_delete_elem(map, key);
		return 0;
	}
	walk->bytes += value->bytes;
	return 0;
}

static long visit_total(void *map, __u32 *key, __u64 *value, struct walk *walk)
{
	*value = *value * 7 / 8 + walk->bytes / 8;
	return *key >= 32;
}

SEC("syscall")
int callback_map(void *ctx)
{
	struct walk walk = {.now = bpf_ktime_get_ns()};

	bpf_for_each_map_elem(&flows, visit_flow, &walk, 0);
	bpf_for_each_map_elem(&totals, visit_total, &walk, 0);
	return walk.old;
}
