/* SPDX-License-Identifier: Apache-2.0 */
/* The object, and the map. */
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

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct map_val);
	KPTRS_FROM_MA
} m SEC(".maps");

#endif
