/* SPDX-License-Identifier: Apache-2.0 */
/* The object, the map value, and how to pass one on. */
#ifndef FOO_H
#define FOO_H

#include <bpfheap.h>

struct foo {
	int var;
};

/* For the schemes that want to be told where objects come from. */
#ifdef BPFHEAP_TAGS
#define FROM_MA __from(ma)
#else
#define FROM_MA
#endif
#ifdef BPFHEAP_KPTR_ALLOCATORS
#define KPTRS_FROM_MA __kptr_allocator(ma);
#else
#define KPTRS_FROM_MA
#endif

struct map_val {
	struct foo *ptr __kptr __local FROM_MA;
};

#ifdef BPFHEAP_KPTR_ALLOCATORS
struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct foo);
} ma SEC(".maps");
#endif

#define A_MAP(name)                                                                            \
	struct {                                                                              \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                             \
		__uint(max_entries, 1);                                                       \
		__type(key, __u32);                                                           \
		__type(value, struct map_val);                                                \
		KPTRS_FROM_MA                                                                 \
	} name SEC(".maps")

static __always_inline int pass_on(void *from, void *to)
{
	__u32 key = 0;
	struct map_val *a = bpf_map_lookup_elem(from, &key);
	struct map_val *b = bpf_map_lookup_elem(to, &key);
	struct foo *p;

	if (!a || !b)
		return TC_ACT_OK;
	p = bpf_kptr_xchg(&a->ptr, NULL);
	if (!p)
		return TC_ACT_OK;
	p = bpf_kptr_xchg(&b->ptr, p);
	if (p)
		unit_free(p);
	return TC_ACT_OK;
}

#endif
