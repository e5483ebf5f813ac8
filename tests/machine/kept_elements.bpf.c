#include <bpfheap.h>

/* Maps whose elements Python keeps on both machines, and tries of prefixes. */

char LICENSE[] SEC("license") = "GPL";

enum { CREATE = 1 }; /* BPF_LOCAL_STORAGE_GET_F_CREATE */

struct task_struct {
	int pid;
} __attribute__((preserve_access_index));

struct prefix {
	__u32 length;
	__u8 bytes[4];
};

struct foo {
	int var;
};

struct owned {
	__u64 count;
	struct foo __kptr *foo;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u64);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct owned);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 100000);
	__uint(key_size, 0);
	__type(value, __u64);
} queue SEC(".maps");

struct devices {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, 4);
} here SEC(".maps"), there SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct devices);
} both SEC(".maps") = { .values = { &here, &there } };

/* What a value is that left its map while others came: 7 if it stayed as it was. */
SEC("raw_tp/x") int stays(void *ctx)
{
	struct prefix key = { 8, { 10 } };
	__u64 value = 7, *old;

	bpf_map_update_elem(&routes, &key, &value, 0);
	old = bpf_map_lookup_elem(&routes, &key);
	if (!old)
		return 0;
	bpf_map_delete_elem(&routes, &key);
	for (value = 100; value < 103; value++) {
		key.bytes[0]++;
		bpf_map_update_elem(&routes, &key, &value, 0);
	}
	for (value = 100; value < 103; value++) {
		bpf_map_delete_elem(&routes, &key);
		key.bytes[0]--;
	}
	return *old;
}

/* The same of a task's; what its kptr holds goes with it. */
SEC("tp_btf/task_newtask") int goes(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct owned *old = bpf_task_storage_get(&tasks, task, 0, CREATE);
	struct foo *foo;

	if (!old)
		return 1;
	foo = bpf_obj_new(struct foo);
	if (!foo)
		return 2;
	foo = bpf_kptr_xchg(&old->foo, foo);
	if (foo)
		bpf_obj_drop(foo);
	old->count = 7;
	bpf_task_storage_delete(&tasks, task);
	if (!bpf_task_storage_get(&tasks, task, 0, CREATE))
		return 3;
	return old->count;
}

SEC("raw_tp/x") int push(void *ctx)
{
	__u64 value = bpf_get_prandom_u32();

	return bpf_map_push_elem(&queue, &value, 0);
}

/* The interface of an element of one of two maps, 0 if there is none. */
SEC("raw_tp/x") int which(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 at = ctx->args[0], index = ctx->args[1], *found;
	void *inner = bpf_map_lookup_elem(&both, &at);

	if (!inner)
		return -1;
	found = bpf_map_lookup_elem(inner, &index);
	return found ? *found : 0;
}
