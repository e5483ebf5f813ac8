/* SPDX-License-Identifier: Apache-2.0 */
/* Maps whose unused elements go: as other hash maps, for whoever looks at them. */
#include "oracle.h"

struct box {
	__u64 size;
};

struct value {
	__u64 count;
	struct box __kptr *box;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct value);
} lru SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct value);
} percpu SEC(".maps");

static int count_one(void *map, __u32 *key, struct value *value, __u64 *sum)
{
	*sum += value->count;
	return 0;
}

SEC("tc") __accept
int lookup(void *ctx)
{
	__u32 key = 0;
	struct value *value = bpf_map_lookup_elem(&lru, &key);

	if (value)
		value->count++;
	return 0;
}

SEC("tc") __reject("invalid mem access 'map_value_or_null'")
int lookup_unchecked(void *ctx)
{
	__u32 key = 0;
	struct value *value = bpf_map_lookup_elem(&lru, &key);

	value->count++;
	return 0;
}

SEC("tc") __accept
int kptr_in_and_out(void *ctx)
{
	__u32 key = 0;
	struct value *value = bpf_map_lookup_elem(&lru, &key);
	struct box *box;

	if (!value)
		return 0;
	box = bpf_obj_new(typeof(*box));
	if (!box)
		return 0;
	box = bpf_kptr_xchg(&value->box, box);
	if (box)
		bpf_obj_drop(box);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int kptr_is_lost(void *ctx)
{
	__u32 key = 0;
	struct value *value = bpf_map_lookup_elem(&lru, &key);
	struct box *box;

	if (!value)
		return 0;
	box = bpf_obj_new(typeof(*box));
	if (!box)
		return 0;
	box = bpf_kptr_xchg(&value->box, box);
	use(box);
	return 0;
}

SEC("tc") __accept
int update_and_delete(void *ctx)
{
	struct value value = {};
	__u32 key = 1;

	bpf_map_update_elem(&lru, &key, &value, BPF_ANY);
	return bpf_map_delete_elem(&lru, &key);
}


SEC("tc") __accept
int walk(void *ctx)
{
	__u64 sum = 0;

	bpf_for_each_map_elem(&lru, count_one, &sum, 0);
	return sum;
}

SEC("tc") __accept
int this_cpus(void *ctx)
{
	__u32 key = 0;
	struct value *value = bpf_map_lookup_elem(&percpu, &key);

	return value ? value->count : 0;
}

SEC("tc") __accept
int another_cpus(void *ctx)
{
	__u32 key = 0;
	struct value *value = bpf_map_lookup_percpu_elem(&percpu, &key, 1);

	return value ? value->count : 0;
}

SEC("tc") __reject("invalid access to map value")
int past_the_value(void *ctx)
{
	__u32 key = 0;
	struct value *value = bpf_map_lookup_percpu_elem(&percpu, &key, 1);

	return value ? ((__u64 *)value)[2] : 0;
}

SEC("syscall") __accept
int from_a_program_that_sleeps(void *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&lru, &key) != NULL;
}
