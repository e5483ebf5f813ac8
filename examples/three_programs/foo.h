/* SPDX-License-Identifier: Apache-2.0 */
/* What all three programs agree on: the object, and the map value that can own one. */
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

struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct foo);
} ma SEC(".maps");
#else
#define KPTRS_FROM_MA
#endif

struct map_val {
	struct foo *ptr __kptr __local FROM_MA;
};

#endif
