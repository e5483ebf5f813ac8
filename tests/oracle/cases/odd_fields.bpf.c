/* SPDX-License-Identifier: Apache-2.0 */
/* Locks, lists and nodes that are not as Linux has them: of another size, or not aligned. They are mere bytes to Linux,
 * which takes the file for what is beside them. */
#define bpf_spin_lock lock_of_linux
#include "oracle.h"
#undef bpf_spin_lock

struct bpf_spin_lock {
	unsigned char val;
};

static long (*const lock)(void *) = (void *)93;
static long (*const unlock)(void *) = (void *)94;

#define ARRAY(of, name)                            \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);  \
		__uint(max_entries, 4);            \
		__type(key, __u32);                \
		__type(value, struct of);          \
	} name SEC(".maps")

struct small {
	struct bpf_spin_lock lock;
	unsigned char mine[7];
	struct bpf_refcount refs;
};

ARRAY(small, small_locks);

SEC("tc") __reject("map 'small_locks' has no valid bpf_spin_lock")
int lock_of_one_byte(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct small *v = bpf_map_lookup_elem(&small_locks, &key);

	if (!v)
		return 0;
	lock(&v->lock);
	v->mine[0] = 1;
	unlock(&v->lock);
	return 0;
}

SEC("tc") __accept
int bytes_of_no_lock(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct small *v = bpf_map_lookup_elem(&small_locks, &key);

	if (!v)
		return 0;
	v->lock.val = 1;
	v->mine[0] = 1;
	return 0;
}

/* The count is at byte 34, or at 36. */
struct packed {
	__u64 id;
	struct bpf_list_node node;
	__u16 more;
	struct bpf_refcount refs;
} __attribute__((packed));

struct aligned {
	__u64 id;
	struct bpf_list_node node;
	__u32 more;
	struct bpf_refcount refs;
};

SEC("tc") __reject("arg#0 doesn't point to a type with bpf_refcount field")
int count_that_is_not_aligned(struct __sk_buff *ctx)
{
	struct packed *object = bpf_obj_new(struct packed), *more;

	if (!object)
		return 0;
	more = bpf_refcount_acquire(object);
	if (more)
		bpf_obj_drop(more);
	bpf_obj_drop(object);
	return 0;
}

SEC("tc") __accept
int count_that_is_aligned(struct __sk_buff *ctx)
{
	struct aligned *object = bpf_obj_new(struct aligned), *more;

	if (!object)
		return 0;
	more = bpf_refcount_acquire(object);
	if (more)
		bpf_obj_drop(more);
	bpf_obj_drop(object);
	return 0;
}

/* To Linux the count in it is at byte 4, of which it is a multiple; within the object it is at 38. */
struct counted {
	__u32 id;
	struct bpf_refcount refs;
};

struct around {
	__u64 id;
	struct bpf_list_node node;
	__u16 more;
	struct counted counted;
} __attribute__((packed));

SEC("tc") __reject("") __kernel_accepts
__reason("Linux looks at the place of a field in the struct that it is declared in")
int count_in_a_struct_that_is_not_aligned(struct __sk_buff *ctx)
{
	struct around *object = bpf_obj_new(struct around), *more;

	if (!object)
		return 0;
	more = bpf_refcount_acquire(object);
	if (more)
		bpf_obj_drop(more);
	bpf_obj_drop(object);
	return 0;
}
