// Makes objects in one run, and frees them in another.
#include <bpfheap.h>

char LICENSE[] SEC("license") = "GPL";

enum { MANY = 100 };

struct item {
	__u64 word[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct item);
} ma SEC(".maps");

struct slot {
	struct item __kptr __local *item;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MANY);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

/* Put an object, or NULL, in a slot, and free what was there; 0 if nothing was. */
static __always_inline int put(__u32 key, struct item *item)
{
	struct slot *slot = bpf_map_lookup_elem(&slots, &key);

	if (!slot) {
		if (item)
			unit_free(item);
		return 0;
	}
	item = bpf_kptr_xchg(&slot->item, item);
	if (!item)
		return 0;
	unit_free(item);
	return 1;
}

SEC("syscall")
int make(void *ctx)
{
	__u32 made = 0, key;

	bpf_for(key, 0, MANY) {
		struct item *item = bpf_mem_alloc(&ma, type_id_local(struct item));

		if (!item)
			break;
		put(key, item);
		made++;
	}
	return made;
}

SEC("syscall")
int take(void *ctx)
{
	__u32 taken = 0, key;

	bpf_for(key, 0, MANY) {
		taken += put(key, 0);
	}
	return taken;
}
