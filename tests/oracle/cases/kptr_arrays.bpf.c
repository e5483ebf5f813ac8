/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays of kptrs in values and objects: which of them an offset means. */
#include "oracle.h"

struct pea {
	__u64 size;
};

struct pod {
	__u64 length;
};

struct row {
	__u64 before;
	struct pea __kptr *peas[4];
	__u64 after;
	struct pod __kptr *pods[2];
};

__kptr_type(struct pea);
__kptr_type(struct pod);

struct pair {
	__u64 before;
	struct pea __kptr *peas[3];
	struct pod __kptr *pod;
};

/* No more than Linux looks for in a value. */
struct nested {
	struct pair pairs[2];
};

/* More than that (BTF_FIELDS_MAX). */
struct many {
	struct pea __kptr *peas[12];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct row);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct row);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct row);
} lru SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct row);
} percpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct nested);
} deep SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct many);
} much SEC(".maps");

static __always_inline void *value_of(void *map, __u32 key)
{
	return bpf_map_lookup_elem(map, &key);
}

#define xchg(field, object) ((void *)(bpf_kptr_xchg)((void *)(field), (void *)(object)))

/* An object goes to `place` in a row of `map`; what was there is dropped. */
#define PUT(name, verdict, map, kind, value, place)               \
	SEC("tc") verdict int name(struct __sk_buff *ctx)         \
	{                                                         \
		struct value *v = value_of(&map, ctx->len);       \
		__u64 n = ctx->mark;                              \
		struct kind *one;                                 \
                                                                  \
		if (!v)                                           \
			return 0;                                 \
		barrier_var(n);                                   \
		one = bpf_obj_new(struct kind);                   \
		if (!one)                                         \
			return 0;                                 \
		one = xchg(place, one);                           \
		if (one)                                          \
			bpf_obj_drop(one);                        \
		return n > 7;                                     \
	}

PUT(the_first, __accept, array, pea, row, &v->peas[0])
PUT(the_last, __accept, array, pea, row, &v->peas[3])
PUT(the_last_of_the_others, __accept, array, pod, row, &v->pods[1])
PUT(of_a_hash, __accept, hash, pea, row, &v->peas[2])
PUT(of_an_lru, __accept, lru, pea, row, &v->peas[2])
PUT(of_a_cpu, __accept, percpu, pea, row, &v->peas[1])
PUT(of_a_nested_array, __accept, deep, pea, nested, &v->pairs[1].peas[2])
PUT(of_the_first_nested_array, __accept, deep, pod, nested, &v->pairs[0].pod)
PUT(between_nested_arrays, __reject("doesn't point to kptr"), deep, pea, nested, (char *)v + 40)
PUT(of_more_than_linux_looks_for, __accept __kernel_rejects("has no valid kptr")
    __reason("Linux has no map with more than 11 fields of that kind in a value"), much, pea, many, &v->peas[11])
PUT(one_too_many, __reject("doesn't point to kptr"), array, pea, row, (char *)v + 40)
PUT(one_too_few, __reject("doesn't point to kptr"), array, pea, row, (char *)v + 0)
PUT(between_two, __reject("kptr"), array, pea, row, (char *)v + 12)
PUT(another_type, __reject("invalid kptr access"), array, pod, row, &v->peas[1])
PUT(another_type_behind, __reject("invalid kptr access"), array, pea, row, &v->pods[0])
PUT(another_type_nested, __reject("invalid kptr access"), deep, pod, nested, &v->pairs[1].peas[0])
PUT(any_of_them, __reject("has to be at the constant offset"), array, pea, row, (char *)v + 8 + (n & 8))
PUT(any_byte, __reject("has to be at the constant offset"), array, pea, row, (char *)v + (n & 31))
PUT(beyond_the_value, __reject("kptr"), array, pea, row, v + 1)

#define TOUCH(name, verdict, map, value, op)                      \
	SEC("tc") verdict int name(struct __sk_buff *ctx)         \
	{                                                         \
		struct value *v = value_of(&map, ctx->len);       \
		__u64 n = ctx->mark, found = 0;                   \
                                                                  \
		if (!v)                                           \
			return 0;                                 \
		barrier_var(n);                                   \
		op;                                               \
		return found & 7;                                 \
	}

#define load(type, at) (found = *(volatile type *)((char *)v + (at)))
#define store(type, at) (*(volatile type *)((char *)v + (at)) = 0)

TOUCH(reads_in_front, __accept, array, row, load(__u64, 0))
TOUCH(reads_behind, __accept, array, row, load(__u64, 40))
TOUCH(writes_in_front, __accept, array, row, store(__u64, 0))
TOUCH(writes_behind, __accept, array, row, store(__u32, 44))
TOUCH(writes_the_second, __reject("store to referenced kptr disallowed"), array, row, store(__u64, 16))
TOUCH(writes_the_last, __reject("store to referenced kptr disallowed"), hash, row, store(__u64, 56))
TOUCH(writes_half_of_the_third, __reject("kptr access misaligned"), array, row, store(__u32, 28))
TOUCH(reads_half_of_the_third, __reject("kptr access size must be BPF_DW"), lru, row, load(__u32, 24))
TOUCH(reads_a_byte_of_a_nested_one, __reject("kptr access misaligned"), deep, nested, load(__u8, 71))
TOUCH(reads_what_is_around_nested_ones, __accept, deep, nested, load(__u64, 40))
TOUCH(writes_from_in_front_into_it, __reject("kptr access"), array, row, store(__u64, 4))
TOUCH(reads_anywhere, __reject("kptr access cannot have variable offset"), array, row, load(__u64, n & 56))
TOUCH(writes_any_byte, __reject("kptr access cannot have variable offset"), array, row, store(__u8, n & 15))
TOUCH(reads_any_byte_in_front, __accept, array, row, load(__u8, n & 7))
TOUCH(writes_any_byte_behind, __accept, array, row, store(__u8, 40 + (n & 7)))

/* ---------------------------------------------------------------- what is in them */

SEC("tc") __accept
int looks_at_the_third(struct __sk_buff *ctx)
{
	struct row *v = value_of(&array, ctx->len);
	struct pea *pea;

	if (!v)
		return 0;
	pea = v->peas[2];
	return pea ? pea->size & 7 : 0;
}

SEC("tc") __reject("invalid mem access")
int looks_without_a_check(struct __sk_buff *ctx)
{
	struct row *v = value_of(&array, ctx->len);

	if (!v)
		return 0;
	return v->peas[2]->size & 7;
}

SEC("tc") __accept
int moves_all(struct __sk_buff *ctx)
{
	struct row *v = value_of(&array, 0), *w = value_of(&array, 1);
	struct pea *pea;

	if (!v || !w)
		return 0;
	pea = xchg(&v->peas[0], NULL);
	if (!pea)
		return 0;
	pea = xchg(&v->peas[1], pea);
	if (!pea)
		return 0;
	pea = xchg(&w->peas[2], pea);
	if (pea)
		bpf_obj_drop(pea);
	return 0;
}

SEC("tc") __reject("Unreleased reference")
int moves_all_but_the_last(struct __sk_buff *ctx)
{
	struct row *v = value_of(&array, 0);
	struct pea *pea;

	if (!v)
		return 0;
	pea = xchg(&v->peas[0], NULL);
	if (pea)
		pea = xchg(&v->peas[1], pea);
	use(pea);
	return 0;
}

SEC("tc") __reject("invalid kptr access")
int moves_to_the_others(struct __sk_buff *ctx)
{
	struct row *v = value_of(&array, 0);
	struct pea *pea;

	if (!v)
		return 0;
	pea = xchg(&v->peas[0], NULL);
	if (pea)
		pea = xchg(&v->pods[1], pea);
	if (pea)
		bpf_obj_drop(pea);
	return 0;
}

static long empties(void *map, __u32 *key, struct row *v, void *ctx)
{
	struct pea *pea = xchg(&v->peas[1], NULL);

	if (pea)
		bpf_obj_drop(pea);
	return 0;
}

SEC("tc") __accept
int empties_each(struct __sk_buff *ctx)
{
	bpf_for_each_map_elem(&hash, empties, NULL, 0);
	return 0;
}

static __noinline int drops(struct row *v)
{
	struct pod *pod;

	if (!v)
		return 0;
	pod = xchg(&v->pods[1], NULL);
	if (pod)
		bpf_obj_drop(pod);
	return 0;
}

SEC("tc") __accept
int drops_in_a_function(struct __sk_buff *ctx)
{
	return drops(value_of(&array, 3));
}

SEC("tc") __reject("has to be at the constant offset")
int takes_the_one_of_a_round(struct __sk_buff *ctx)
{
	struct row *v = value_of(&array, 0);
	struct pea *pea;
	int i;

	if (!v)
		return 0;
	bpf_for(i, 0, 4) {
		if (i < 0 || i > 3)
			break;
		pea = xchg((char *)v + 8 + 8 * i, NULL);
		if (pea)
			bpf_obj_drop(pea);
	}
	return 0;
}

/* ---------------------------------------------------------------- in objects */

struct bag {
	struct bpf_refcount refs;
	__u64 before;
	struct pea __kptr *peas[2];
};

/* Nothing but the array tells Linux that there is something to look for (btf_parse_struct_metas). */
struct plain_bag {
	__u64 before;
	struct pea __kptr *peas[2];
};

SEC("tc") __accept __kernel_rejects("has no valid kptr")
__reason("Linux looks for arrays of kptrs in objects only where something else is in them, too")
int into_a_plain_objects_array(struct __sk_buff *ctx)
{
	struct plain_bag *bag = bpf_obj_new(struct plain_bag);
	struct pea *pea;

	if (!bag)
		return 0;
	pea = xchg(&bag->peas[1], NULL);
	if (pea)
		bpf_obj_drop(pea);
	bpf_obj_drop(bag);
	return 0;
}

SEC("tc") __reject("is written by a plain instruction") __kernel_accepts
__reason("Linux looks for arrays of kptrs in objects only where something else is in them, too")
int writes_a_plain_objects_array(struct __sk_buff *ctx)
{
	struct plain_bag *bag = bpf_obj_new(struct plain_bag);

	if (!bag)
		return 0;
	*(volatile __u64 *)&bag->peas[1] = 0;
	bpf_obj_drop(bag);
	return 0;
}

SEC("tc") __accept
int into_an_objects_array(struct __sk_buff *ctx)
{
	struct bag *bag = bpf_obj_new(struct bag);
	struct pea *pea;

	if (!bag)
		return 0;
	pea = bpf_obj_new(struct pea);
	if (pea) {
		pea = xchg(&bag->peas[1], pea);
		if (pea)
			bpf_obj_drop(pea);
	}
	bpf_obj_drop(bag);
	return 0;
}

SEC("tc") __reject("doesn't point to kptr")
int in_front_of_an_objects_array(struct __sk_buff *ctx)
{
	struct bag *bag = bpf_obj_new(struct bag);
	struct pea *pea;

	if (!bag)
		return 0;
	pea = xchg(&bag->before, NULL);
	if (pea)
		bpf_obj_drop(pea);
	bpf_obj_drop(bag);
	return 0;
}

SEC("tc") __reject("direct access to kptr is disallowed")
int writes_an_objects_array(struct __sk_buff *ctx)
{
	struct bag *bag = bpf_obj_new(struct bag);

	if (!bag)
		return 0;
	*(volatile __u64 *)&bag->peas[1] = 0;
	bpf_obj_drop(bag);
	return 0;
}

struct mixed_bag {
	struct pod __kptr *pod;
	struct pea __kptr *peas[2];
};

SEC("tc") __accept
int into_the_array_beside_a_kptr(struct __sk_buff *ctx)
{
	struct mixed_bag *bag = bpf_obj_new(struct mixed_bag);
	struct pea *pea;

	if (!bag)
		return 0;
	pea = xchg(&bag->peas[1], NULL);
	if (pea)
		bpf_obj_drop(pea);
	bpf_obj_drop(bag);
	return 0;
}
