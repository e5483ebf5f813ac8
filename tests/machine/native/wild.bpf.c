/* Maps of all kinds, and types of objects that hold others, for programs that nobody verified. */
#include <bpfheap.h>

struct plain {
	__u64 number;
};

struct leaf {
	__u64 number;
	struct bpf_refcount refs;
	struct bpf_list_node link;
	struct bpf_rb_node node;
	struct plain *plain __kptr;
};

struct holder {
	struct plain *plain __kptr;
	struct bpf_spin_lock lock;
	struct bpf_list_head list __contains(leaf, link);
	struct bpf_rb_root tree __contains(leaf, node);
	struct leaf *leaf __kptr;
};

struct copies {
	__u64 number;
};

struct value {
	__u64 number;
	struct holder *holder __kptr;
	struct plain *plain __kptr;
	struct copies __percpu_kptr *copies;
	struct bpf_spin_lock lock;
	struct bpf_list_head list __contains(leaf, link);
	struct bpf_rb_root tree __contains(leaf, node);
};

#define MAP(name, kind, n, k, v)                         \
	struct {                                         \
		__uint(type, BPF_MAP_TYPE_##kind);       \
		__uint(max_entries, n);                  \
		__type(key, k);                          \
		__type(value, v);                        \
	} name SEC(".maps")

MAP(one, ARRAY, 1, __u32, struct value);
MAP(values, HASH, 8, __u32, struct value);
MAP(words, HASH, 8, __u64, __u64);
MAP(recent, LRU_HASH, 4, __u32, __u64);
MAP(array, ARRAY, 16, __u32, __u64);
MAP(per_cpu, PERCPU_ARRAY, 4, __u32, __u64);
MAP(per_cpu_hash, PERCPU_HASH, 4, __u32, __u64);

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u64);
} trie SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct copies);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__uint(key_size, 0);
	__type(value, __u64);
} queue SEC(".maps");

/* Python keeps the elements of these, too. */
#define PLAYED(name, kind, v)                      \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_##kind); \
		__uint(max_entries, 2);            \
		__uint(key_size, 4);               \
		__uint(value_size, v);             \
	} name SEC(".maps")

PLAYED(devices, DEVMAP, 4);
PLAYED(sockets, SOCKHASH, 8);
PLAYED(events, PERF_EVENT_ARRAY, 4);
PLAYED(stacks, STACK_TRACE, 16);
PLAYED(groups, CGROUP_ARRAY, 4);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} programs SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} maps SEC(".maps") = { .values = { &inner } };

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} hash_of_maps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct plain);
} heap SEC(".maps");

/* Names all types. */
SEC("tc") int first(struct __sk_buff *skb)
{
	struct plain *p = bpf_mem_alloc(&heap, type_id_local(struct plain));
	struct holder *h = bpf_obj_new(struct holder);
	struct leaf *l = bpf_obj_new(struct leaf);

	if (p)
		unit_free(p);
	if (h)
		bpf_obj_drop(h);
	if (l)
		bpf_obj_drop(l);
	return 0;
}

char _license[] SEC("license") = "GPL";
