/* What the native core's loops do, for the live kernel: each run is 1,000 rounds. */
#include <bpfheap.h>

#define ROUNDS 1000
#define KEYS 1023

struct item {
	long word[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} prealloc SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u64);
} dynamic SEC(".maps");

static long new_drop_once(__u32 i, void *ctx)
{
	struct item *item = bpf_obj_new(typeof(*item));

	if (!item)
		return 1;
	bpf_obj_drop(item);
	return 0;
}

#define MAP_LOOPS(map)                                                       \
	static long update_delete_##map##_once(__u32 i, void *ctx)           \
	{                                                                    \
		__u32 key = i & KEYS;                                        \
		__u64 value = 0;                                             \
		bpf_map_update_elem(&map, &key, &value, BPF_ANY);            \
		bpf_map_delete_elem(&map, &key);                             \
		return 0;                                                    \
	}                                                                    \
	static long update_##map##_once(__u32 i, void *ctx)                  \
	{                                                                    \
		__u32 key = i;                                               \
		__u64 value = 0;                                             \
		bpf_map_update_elem(&map, &key, &value, BPF_ANY);            \
		return 0;                                                    \
	}                                                                    \
	static long delete_##map##_once(__u32 i, void *ctx)                  \
	{                                                                    \
		__u32 key = i;                                               \
		bpf_map_delete_elem(&map, &key);                             \
		return 0;                                                    \
	}                                                                    \
	SEC("tc") int update_delete_##map(void *ctx)                         \
	{                                                                    \
		bpf_loop(ROUNDS, update_delete_##map##_once, NULL, 0);       \
		return 0;                                                    \
	}                                                                    \
	SEC("tc") int fill_delete_##map(void *ctx)                           \
	{                                                                    \
		bpf_loop(ROUNDS, update_##map##_once, NULL, 0);              \
		bpf_loop(ROUNDS, delete_##map##_once, NULL, 0);              \
		return 0;                                                    \
	}

MAP_LOOPS(prealloc)
MAP_LOOPS(dynamic)

static long lookup_once(__u32 i, void *ctx)
{
	__u32 key = i & KEYS;
	__u64 *value = bpf_map_lookup_elem(&prealloc, &key);

	if (!value)
		return 1;
	*(volatile __u64 *)value;
	return 0;
}

SEC("tc") int new_drop(void *ctx)
{
	bpf_loop(ROUNDS, new_drop_once, NULL, 0);
	return 0;
}

/* The keys are there since the first run. */
SEC("tc") int lookup(void *ctx)
{
	__u32 key = 0;

	if (!bpf_map_lookup_elem(&prealloc, &key))
		bpf_loop(KEYS + 1, update_prealloc_once, NULL, 0);
	bpf_loop(ROUNDS, lookup_once, NULL, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
