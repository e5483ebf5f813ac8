#include <bpfheap.h>

struct foo {
	long var[4];
};

struct bar {
	long var[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__uint(max_entries, 8);
} ma SEC(".maps");

struct slot {
	struct foo *foo __kptr __local;
	struct bar *bar __kptr __local;
};

/* Two maps whose elements are one allocator's memory. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1000);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct slot);
	__elem_allocator(ma);
} one SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1000);
	__type(key, __u64);
	__type(value, __u64);
	__elem_allocator(ma);
} two SEC(".maps");

SEC("tc")
int fill(void *ctx)
{
	__u32 key = 1;
	struct slot *slot = bpf_map_lookup_elem(&one, &key);
	struct foo *foo;
	struct bar *bar;

	if (!slot)
		return 1;
	foo = bpf_mem_alloc(&ma, type_id_local(struct foo));
	if (!foo)
		return 2;
	foo = bpf_kptr_xchg(&slot->foo, foo);
	if (foo)
		unit_free(foo);
	bar = bpf_mem_alloc(&ma, type_id_local(struct bar));
	if (!bar)
		return 3;
	bar = bpf_kptr_xchg(&slot->bar, bar);
	if (bar)
		unit_free(bar);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
