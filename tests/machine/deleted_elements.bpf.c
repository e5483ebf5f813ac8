#include <bpfheap.h>

/* What is stored into an element that was deleted, by whom still holds its pointer. */

struct foo {
	int var;
};

struct slot {
	struct foo __kptr *foo;
};

#define HASH(name, flags)                       \
	struct {                                \
		__uint(type, BPF_MAP_TYPE_HASH); \
		__uint(max_entries, 4);         \
		__uint(map_flags, flags);       \
		__type(key, __u32);             \
		__type(value, struct slot);     \
	} name SEC(".maps")

HASH(filled, 0);
HASH(made, BPF_F_NO_PREALLOC);

static __always_inline struct slot *new_slot(void *map, __u32 key)
{
	struct slot empty = {};

	bpf_map_update_elem(map, &key, &empty, 0);
	return bpf_map_lookup_elem(map, &key);
}

/* 0 if the element did as long as it could be seen. */
static __always_inline int late(void *map, __u32 key)
{
	struct slot *slot = new_slot(map, key);
	struct foo *foo;

	if (!slot)
		return 1;
	bpf_map_delete_elem(map, &key);
	foo = bpf_obj_new(struct foo);
	if (!foo)
		return 2;
	foo = bpf_kptr_xchg(&slot->foo, foo);
	if (foo) {
		bpf_obj_drop(foo);
		return 3;
	}
	foo = bpf_kptr_xchg(&slot->foo, NULL);
	if (!foo)
		return 4;
	foo = bpf_kptr_xchg(&slot->foo, foo);
	if (foo) {
		bpf_obj_drop(foo);
		return 5;
	}
	return 0;
}

/* 0 if a new element has nothing of what others were given. */
static __always_inline int look(void *map, __u32 key)
{
	struct slot *slot;
	struct foo *foo;

	bpf_map_delete_elem(map, &key);
	slot = new_slot(map, key);
	if (!slot)
		return 1;
	foo = bpf_kptr_xchg(&slot->foo, NULL);
	if (!foo)
		return 0;
	bpf_obj_drop(foo);
	return 2;
}

SEC("tc") int late_filled(struct __sk_buff *ctx)
{
	return late(&filled, 0);
}

SEC("tc") int late_made(struct __sk_buff *ctx)
{
	return late(&made, 0);
}

SEC("tc") int look_filled(struct __sk_buff *ctx)
{
	return look(&filled, 1);
}

SEC("tc") int look_made(struct __sk_buff *ctx)
{
	return look(&made, 1);
}

SEC("tc") int thrice_filled(struct __sk_buff *ctx)
{
	return late(&filled, 0) + late(&filled, 0) + late(&filled, 2);
}

SEC("tc") int thrice_made(struct __sk_buff *ctx)
{
	return late(&made, 0) + late(&made, 0) + late(&made, 2);
}

char LICENSE[] SEC("license") = "GPL";
