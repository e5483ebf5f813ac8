/* SPDX-License-Identifier: Apache-2.0 */
/* An object that owns an object of another allocator. */
#ifndef OBJECTS_H
#define OBJECTS_H

#include <bpfheap.h>

struct part {
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
#ifdef BPFHEAP_TAGS
#define FROM_MB __from(mb)
#else
#define FROM_MB
#endif

struct whole {
	struct part *part __kptr __local FROM_MB;
};

struct map_val {
	struct whole *ptr __kptr __local FROM_MA;
};

__kptr_type(struct part);

#ifdef BPFHEAP_KPTR_ALLOCATORS
struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__type(value, struct whole);
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
