/* SPDX-License-Identifier: Apache-2.0 */
/* Pointers in task storage to memory that a process shares (__uptr). */
#include "oracle.h"

#define __uptr __attribute__((btf_type_tag("uptr")))

struct task_struct {
	int pid;
} __attribute__((preserve_access_index));

struct shared {
	__u64 number;
	__u32 half;
};

struct nested {
	struct shared __uptr *shared;
};

struct value {
	__u64 count;
	struct shared __uptr *shared;
	struct nested nested;
};

/* That their types are there. */
struct shared one;

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct value);
} storage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct value);
} hash SEC(".maps");

#define CASE(verdict, name, body)                                                             \
	SEC("syscall") verdict int name(void *ctx)                                            \
	{                                                                                     \
		struct task_struct *task = bpf_get_current_task_btf();                        \
		struct value *v = bpf_task_storage_get(&storage, task, 0, 1);                 \
		struct shared *p;                                                             \
		__u64 i = bpf_get_prandom_u32();                                              \
		int result = 0;                                                               \
		if (!v)                                                                       \
			return 0;                                                             \
		body return result;                                                           \
	}

CASE(__accept, reads, { p = v->shared; if (p) result = p->number; })
CASE(__reject("R1 invalid mem access 'mem_or_null'"), reads_unchecked, { result = v->shared->number; })
CASE(__accept, writes_there, { p = v->shared; if (p) p->number = 7; })
CASE(__accept, reads_nested, { p = v->nested.shared; if (p) result = p->half; })
CASE(__reject("invalid access to memory, mem_size=16 off=16 size=8"), reads_behind, {
	p = v->shared;
	if (p) result = ((volatile __u64 *)p)[2];
})
CASE(__accept, adds_there, { p = v->shared; if (p) __sync_fetch_and_add(&p->number, 1); })
CASE(__reject("store to uptr disallowed"), writes_it, { v->shared = 0; })
CASE(__reject("store to uptr disallowed"), writes_a_pointer, { v->shared = v->nested.shared; })
CASE(__reject("store to uptr disallowed"), writes_nested, { v->nested.shared = 0; })
CASE(__accept, writes_beside, { v->count = 1; })
CASE(__reject("kptr in map can only be accessed using BPF_MEM instruction mode"), adds_to_it, {
	__sync_fetch_and_add((__u64 *)&v->shared, 1);
})
CASE(__reject("uptr access size must be BPF_DW"), reads_half_of_it, {
	result = *(volatile __u32 *)&v->shared;
})
CASE(__reject("uptr access misaligned"), reads_another_half, {
	result = *((volatile __u32 *)&v->shared + 1);
})
CASE(__reject("uptr access cannot have variable offset"), reads_one_of_them, {
	result = ((volatile __u64 *)v)[i & 1];
})
CASE(__reject("uptr cannot be accessed indirectly by helper"), gives_it_to_a_helper, {
	bpf_probe_read_kernel(v, sizeof(*v), 0);
})
CASE(__accept, gives_what_is_beside, { bpf_probe_read_kernel(&v->count, 8, 0); })
CASE(__reject("kptr"), exchanges_it, { bpf_kptr_xchg(&v->shared, 0); })
CASE(__accept, gives_the_memory, { p = v->shared; if (p) bpf_probe_read_kernel(p, 16, 0); })
CASE(__reject("invalid access to memory, mem_size=16 off=0 size=17"), gives_too_much, {
	p = v->shared;
	if (p) bpf_probe_read_kernel(p, 17, 0);
})
CASE(__accept, keeps_it_in_the_stack, {
	p = v->shared;
	use(&p);
	if (p) result = 1;
})

/* Elsewhere such a member is any number. */
SEC("syscall") __accept int writes_in_a_hash(void *ctx)
{
	__u32 key = 0;
	struct value *v = bpf_map_lookup_elem(&hash, &key);

	if (v)
		v->shared = 0;
	return 0;
}

SEC("syscall") __reject("R1 invalid mem access 'scalar'") int reads_in_a_hash(void *ctx)
{
	__u32 key = 0;
	struct value *v = bpf_map_lookup_elem(&hash, &key);

	return v && v->shared ? v->shared->number : 0;
}
