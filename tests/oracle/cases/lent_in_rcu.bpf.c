/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects that an RCU section keeps, for parameters of global functions that want trusted ones. To
 * be loaded only, never run: they break the kernel's memory.
 */
#include "oracle.h"

struct bpf_cpumask {
	int unused;
};
__kptr_type(struct bpf_cpumask);

extern struct bpf_cpumask *bpf_cpumask_create(void) __ksym;
extern void bpf_cpumask_release(struct bpf_cpumask *) __ksym;
extern struct bpf_cpumask *bpf_cpumask_acquire(struct bpf_cpumask *) __ksym;
extern __u32 bpf_cpumask_first(const struct bpf_cpumask *) __ksym;

struct room {
	struct bpf_cpumask __kptr *mask;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct room);
} rooms SEC(".maps");

static __always_inline struct room *room(__u32 key)
{
	return bpf_map_lookup_elem(&rooms, &key);
}

__noinline int share(struct bpf_cpumask *mask __arg_trusted)
{
	mask = bpf_cpumask_acquire(mask);
	bpf_cpumask_release(mask);
	return 0;
}

__noinline int look(struct bpf_cpumask *mask __arg_trusted)
{
	return bpf_cpumask_first(mask);
}

SEC("syscall") __reject("R1 must be referenced or trusted") __kernel_accepts
__reason("nobody may own it any more, which a function that adds an owner does not ask")
int owner_is_added(void *ctx)
{
	struct room *r = room(0);
	struct bpf_cpumask *mask;

	if (!r)
		return 0;
	bpf_rcu_read_lock();
	mask = r->mask;
	if (mask)
		share(mask);
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __accept
int looked_at(void *ctx)
{
	struct room *r = room(0);
	struct bpf_cpumask *mask;

	if (!r)
		return 0;
	bpf_rcu_read_lock();
	mask = r->mask;
	if (mask)
		look(mask);
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") __accept
int owner_is_added_to_what_is_owned(void *ctx)
{
	struct bpf_cpumask *mask = bpf_cpumask_create();

	if (!mask)
		return 0;
	share(mask);
	bpf_cpumask_release(mask);
	return 0;
}
