/* SPDX-License-Identifier: Apache-2.0 */
/* What the mistakes share: each program of these files has one, which its name tells. */
#ifndef __MISTAKES_H__
#define __MISTAKES_H__

#include <bpfheap.h>

struct foo {
	int var;
	int more[3];
};

struct bar {
	__u64 sum;
};

struct counts {
	__u32 used;
	__u32 row[15];
};

struct holder {
	__u64 count;
	struct foo *ptr __kptr __local;
	struct bar *other __kptr __local;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct counts);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct holder);
} holders SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ALLOCATOR);
	__uint(max_entries, 16);
} ma SEC(".maps");

char LICENSE[] SEC("license") = "GPL";

#define foo_alloc() ((struct foo *)bpf_mem_alloc(&ma, type_id_local(struct foo)))
#define bar_alloc() ((struct bar *)bpf_mem_alloc(&ma, type_id_local(struct bar)))

#endif
