/* SPDX-License-Identifier: Apache-2.0 */
/* The stacks that allocated the kernel's memory that nobody has freed yet. */
#include "kernel.h"

#define DEPTH 32
#define CLASSES 24

struct kmalloc_ctx {
	__u64 common;
	unsigned long call_site;
	const void *ptr;
	unsigned long bytes_req;
	unsigned long bytes_alloc;
	unsigned long gfp_flags;
	int node;
};

struct kfree_ctx {
	__u64 common;
	unsigned long call_site;
	const void *ptr;
};

struct allocation {
	__u64 size;
	__u64 ts_ns;
	__u32 stack;
	__u32 class;
};

struct site {
	__u64 bytes;
	__u64 count;
	__u64 youngest_ns;
	__u64 lived_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 20);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct allocation);
} allocations SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, struct site);
} sites SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 10240);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, DEPTH * sizeof(__u64));
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CLASSES);
	__type(key, __u32);
	__type(value, struct site);
} by_class SEC(".maps");

/* The sizes of the allocator's caches. */
static const volatile __u32 class_sizes[CLASSES] = {
	8,    16,   32,	  64,	96,	128,   192,   256,    512,    768,    1024,    1536,
	2048, 3072, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576, 2097152,
};

const volatile __u32 sample_every = 1;
const volatile __u64 least = 0, most = ~0ULL;
const volatile __u32 only_tgid = 0;
/* Allocations of these are not tracked: they are known to keep what they have. */
const volatile char ignored[4][16] = {"kswapd", "kcompactd", "systemd-journal", "jbd2/"};

static const struct site no_site;

static __always_inline __u32 class_of(__u64 size)
{
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < CLASSES; i++)
		if (size <= class_sizes[i])
			return i;
	return CLASSES - 1;
}

static __always_inline int is_ignored(void)
{
	char comm[16] = {};

	bpf_get_current_comm(comm, sizeof(comm));
#pragma clang loop unroll(disable)
	for (int name = 0; name < 4; name++) {
#pragma clang loop unroll(disable)
		for (int i = 0; i < 16; i++) {
			char c = ignored[name][i];

			if (!c)
				return 1;
			if (c != comm[i])
				break;
		}
	}
	return 0;
}

static __always_inline struct site *site_of(__u32 stack)
{
	struct site *found = bpf_map_lookup_elem(&sites, &stack);

	if (found)
		return found;
	bpf_map_update_elem(&sites, &stack, &no_site, BPF_NOEXIST);
	return bpf_map_lookup_elem(&sites, &stack);
}

static __always_inline void count(struct site *site, __s64 bytes, __s64 objects)
{
	__sync_fetch_and_add(&site->bytes, bytes);
	__sync_fetch_and_add(&site->count, objects);
}

SEC("tracepoint/kmem/kmalloc")
int leak_allocated(struct kmalloc_ctx *ctx)
{
	struct allocation a = {.size = ctx->bytes_alloc, .ts_ns = bpf_ktime_get_ns()};
	__u64 address = (__u64)ctx->ptr;
	struct site *site;
	long stack;

	if (!address || a.size < least || a.size > most)
		return 0;
	if (only_tgid && bpf_get_current_pid_tgid() >> 32 != only_tgid)
		return 0;
	if (sample_every > 1 && bpf_get_prandom_u32() % sample_every)
		return 0;
	if (is_ignored())
		return 0;
	a.class = class_of(a.size);
	site = bpf_map_lookup_elem(&by_class, &a.class);
	if (site)
		count(site, a.size, 1);
	stack = bpf_get_stackid(ctx, &stacks, 1 << 9);
	if (stack < 0)
		return 0;
	a.stack = stack;
	if (bpf_map_update_elem(&allocations, &address, &a, BPF_ANY))
		return 0;
	site = site_of(a.stack);
	if (!site)
		return 0;
	count(site, a.size, 1);
	site->youngest_ns = a.ts_ns;
	return 0;
}

SEC("tracepoint/kmem/kfree")
int leak_freed(struct kfree_ctx *ctx)
{
	__u64 address = (__u64)ctx->ptr, now = bpf_ktime_get_ns(), lived;
	struct allocation *a = bpf_map_lookup_elem(&allocations, &address);
	struct site *site;
	__u32 age = 0, class;

	if (!a)
		return 0;
	class = class_of(a->size);
	site = bpf_map_lookup_elem(&by_class, &class);
	if (site)
		count(site, -a->size, -1);
	lived = now - a->ts_ns;
	site = bpf_map_lookup_elem(&sites, &a->stack);
	if (site) {
		count(site, -a->size, -1);
		/* A moving average, in which the longer lives weigh more. */
#pragma clang loop unroll(disable)
		for (int i = 0; i < 32 && lived >> i > 1000; i++)
			age++;
		site->lived_ns += (__s64)(lived - site->lived_ns) >> (age > 20 ? 2 : 4);
	}
	bpf_map_delete_elem(&allocations, &address);
	return 0;
}
