/* One place for an object, and a way to leave one there. */
#include <bpfheap.h>

char _license[] SEC("license") = "GPL";

struct foo {
	int var;
};

struct map_val {
	struct foo *ptr __kptr __local;
};

struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct foo);
} ma SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct map_val);
} m SEC(".maps");

static __always_inline int keep_one(void)
{
	__u32 key = 0;
	struct map_val *v = bpf_map_lookup_elem(&m, &key);
	struct foo *p;

	if (!v)
		return 0;
	p = bpf_mem_alloc(&ma, type_id_local(struct foo));
	if (!p)
		return 0;
	p = bpf_kptr_xchg(&v->ptr, p);
	if (p)
		unit_free(p);
	return 0;
}
