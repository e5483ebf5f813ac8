/* SPDX-License-Identifier: Apache-2.0 */
/* Arenas as C has them: address spaces, variables, arguments of global functions. */
#include "oracle.h"

#define __arena __attribute__((address_space(1)))

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 10);
} arena SEC(".maps");

struct node {
	struct node __arena *next;
	__u64 value;
};

extern void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, __u32 pages, int node,
					    __u64 flags) __ksym;
extern void bpf_arena_free_pages(void *map, void __arena *addr, __u32 pages) __ksym;
extern int bpf_arena_reserve_pages(void *map, void __arena *addr, __u32 pages) __ksym;

__u64 __arena counter;
struct node __arena *__arena head;
__u64 total;

SEC("syscall") __accept int counts(void *ctx)
{
	use(&arena);
	return ++counter;
}

SEC("syscall") __accept int allocates(void *ctx)
{
	struct node __arena *node = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);

	if (!node)
		return 1;
	node->value = 7;
	node->next = head;
	head = node;
	return 0;
}

SEC("syscall") __accept int walks(void *ctx)
{
	struct node __arena *node = head;
	int i;

	use(&arena);
	for (i = 0; node && i < 100; i++) {
		total += node->value;
		node = node->next;
	}
	return 0;
}

SEC("syscall") __accept int frees(void *ctx)
{
	struct node __arena *node = head;

	bpf_arena_free_pages(&arena, node, 1);
	return node->value;
}

SEC("syscall") __accept int reserves(void *ctx)
{
	return bpf_arena_reserve_pages(&arena, 0, 1);
}

SEC("tc") __accept int reads(void *ctx)
{
	use(&arena);
	return counter;
}

SEC("tc") __reject("program must be sleepable to call sleepable kfunc bpf_arena_alloc_pages")
int allocates_awake(void *ctx)
{
	return bpf_arena_alloc_pages(&arena, 0, 1, -1, 0) != 0;
}

/* --------------------------------------------------------- arguments of global functions */

__noinline int value_of(struct node __arena *node __arg_arena)
{
	return node->value;
}

SEC("syscall") __accept int gives_a_node(void *ctx)
{
	use(&arena);
	return value_of(head);
}

SEC("syscall") __accept int gives_a_number(void *ctx)
{
	use(&arena);
	return value_of((struct node __arena *)7UL);
}

SEC("syscall") __reject("R1 is not a pointer to arena or scalar.") int gives_its_context(void *ctx)
{
	use(&arena);
	return value_of((struct node __arena *)(unsigned long)ctx);
}

__noinline int memory(struct node *node)
{
	return node ? node->value : 0;
}

SEC("syscall") __reject("R1 type=scalar expected=fp") int gives_an_arena_for_memory(void *ctx)
{
	use(&arena);
	return memory((struct node *)(unsigned long)head);
}

__noinline int two_tags(struct node __arena *node __arg_arena __arg_nonnull)
{
	return node->value;
}

SEC("syscall") __reject("arena cannot be combined with any other tags") int with_two_tags(void *ctx)
{
	use(&arena);
	return two_tags(head);
}

__noinline int tagged_number(__u64 number __arg_arena)
{
	return number;
}

SEC("syscall") __reject("has pointer tag, but is not a pointer type") int with_a_number(void *ctx)
{
	use(&arena);
	return tagged_number(7);
}
