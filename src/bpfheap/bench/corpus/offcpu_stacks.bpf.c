/* SPDX-License-Identifier: Apache-2.0 */
/* The stacks that threads leave the CPU with, and for how long they are away. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "corpus.h"

#define DEPTH 64
#define FRAMES 32
#define TASKS 8

#define TASK_INTERRUPTIBLE 1
#define TASK_UNINTERRUPTIBLE 2
#define PF_KTHREAD 0x00200000

struct left {
	__u64 ts_ns;
	int kernel_stack;
	int user_stack;
};

struct stack_key {
	__u32 tgid;
	__u32 kernel_hash;
	int kernel_stack;
	int user_stack;
	char comm[16];
};

struct blocked {
	__u64 total_ns;
	__u64 times;
	__u64 longest_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 8192);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, DEPTH * sizeof(__u64));
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct left);
} away SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct stack_key);
	__type(value, struct blocked);
} totals SEC(".maps");

const volatile __u32 tgids[TASKS] = {};
const volatile __u32 states = TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE;
const volatile __u64 shortest_ns = 1000, longest_ns = ~0ULL;
const volatile __u32 user_only = 0, kernel_only = 0;

static __always_inline int is_wanted(struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);
	int kernel_thread = (BPF_CORE_READ(task, flags) & PF_KTHREAD) != 0;

	if ((user_only && kernel_thread) || (kernel_only && !kernel_thread))
		return 0;
	if (!(BPF_CORE_READ(task, __state) & states))
		return 0;
	if (!tgids[0])
		return 1;
#pragma clang loop unroll(disable)
	for (int i = 0; i < TASKS; i++)
		if (tgids[i] && tgids[i] == tgid)
			return 1;
	return 0;
}

/* Stacks that differ only in where they were within the scheduler are the same for us. */
static __always_inline __u32 hash_of(struct pt_regs *ctx)
{
	__u64 frames[FRAMES] = {};
	__u32 hash = 0;
	long size = bpf_get_stack(ctx, frames, sizeof(frames), 2);

	if (size <= 0)
		return 0;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < FRAMES; i++) {
		if (i * sizeof(__u64) >= size)
			break;
		hash += frames[i] ^ (frames[i] >> 32);
		hash += hash << 10;
		hash ^= hash >> 6;
	}
	hash += hash << 3;
	hash ^= hash >> 11;
	return hash + (hash << 15);
}

static __always_inline void note(struct stack_key *key, __u64 ns)
{
	struct blocked *found = bpf_map_lookup_elem(&totals, key);
	struct blocked first = {.total_ns = ns, .times = 1, .longest_ns = ns};

	if (!found) {
		bpf_map_update_elem(&totals, key, &first, BPF_NOEXIST);
		return;
	}
	__sync_fetch_and_add(&found->total_ns, ns);
	__sync_fetch_and_add(&found->times, 1);
	if (found->longest_ns < ns)
		found->longest_ns = ns;
}

SEC("kprobe/finish_task_switch")
int offcpu_stacks(struct pt_regs *ctx)
{
	struct task_struct *prev = (void *)PT_REGS_PARM1(ctx);
	struct task_struct *now_running = (void *)bpf_get_current_task();
	__u32 pid = BPF_CORE_READ(prev, pid);
	__u64 now = bpf_ktime_get_ns(), away_ns;
	struct stack_key key = {};
	struct left left = {.ts_ns = now}, *since;

	if (pid && is_wanted(prev)) {
		left.kernel_stack = bpf_get_stackid(ctx, &stacks, 0);
		left.user_stack = bpf_get_stackid(ctx, &stacks, 1ULL << 8);
		bpf_map_update_elem(&away, &pid, &left, BPF_ANY);
	}

	pid = bpf_get_current_pid_tgid();
	since = bpf_map_lookup_elem(&away, &pid);
	if (!since)
		return 0;
	away_ns = now - since->ts_ns;
	key.kernel_stack = since->kernel_stack;
	key.user_stack = since->user_stack;
	bpf_map_delete_elem(&away, &pid);
	if (away_ns < shortest_ns || away_ns > longest_ns)
		return 0;
	key.tgid = bpf_get_current_pid_tgid() >> 32;
	key.kernel_hash = hash_of(ctx);
	BPF_CORE_READ_STR_INTO(&key.comm, now_running, group_leader, comm);
	note(&key, away_ns);
	return 0;
}
