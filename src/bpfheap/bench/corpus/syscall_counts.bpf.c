/* SPDX-License-Identifier: Apache-2.0 */
/* Counts system calls by number, error and process, with histograms of how long they took. */
#include "kernel.h"

#define SLOTS 20
#define ERRORS 16

struct call_stats {
	__u64 count;
	__u64 total_ns;
	__u64 slots[SLOTS];
	__u32 errors[ERRORS];
};

struct process_key {
	__u32 tgid;
	__u32 nr;
};

struct process_stats {
	__u64 calls;
	__u64 failed;
	char comm[16];
};

/* When a thread's call began; written where calls are entered. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u64);
} entered SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 512);
	__type(key, __u32);
	__type(value, struct call_stats);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct process_key);
	__type(value, struct process_stats);
} processes SEC(".maps");

/* Numbers of system calls that are not counted, up to the first negative one. */
const volatile int skipped[12] = {24, 35, 202, 230, 232, 281, -1};
const volatile __u32 only_pid_ns = 0;
const volatile __u32 failures_only = 0;

/* The errors that have counters of their own; all others share the last one. */
const volatile __u8 known_errors[ERRORS - 1] = {
	1, 2, 4, 5, 9, 11, 12, 13, 14, 16, 17, 20, 22, 28, 110,
};

static __always_inline int is_skipped(long nr)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < 12; i++) {
		if (skipped[i] < 0)
			return 0;
		if (skipped[i] == nr)
			return 1;
	}
	return 0;
}

static __always_inline __u32 error_slot(long ret)
{
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < ERRORS - 1; i++)
		if (ret == -(long)known_errors[i])
			return i;
	return ERRORS - 1;
}

static __always_inline int is_elsewhere(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct nsproxy *spaces = kernel_read(task, nsproxy);
	struct pid_namespace *ns = kernel_read(spaces, pid_ns_for_children);

	return only_pid_ns && kernel_read(ns, ns.inum) != only_pid_ns;
}

SEC("tracepoint/raw_syscalls/sys_exit")
int syscall_counts(struct sys_exit_ctx *ctx)
{
	__u64 now = bpf_ktime_get_ns(), id = bpf_get_current_pid_tgid(), *since, took;
	struct process_key key = {.tgid = id >> 32, .nr = ctx->nr};
	struct process_stats *process;
	struct call_stats *stats;
	__u32 nr = ctx->nr, slot = 0;
	long ret = ctx->ret;
	int failed = ret < 0 && ret > -4096;

	if (is_skipped(ctx->nr) || is_elsewhere() || (failures_only && !failed))
		return 0;
	stats = bpf_map_lookup_elem(&calls, &nr);
	if (!stats)
		return 0;
	__sync_fetch_and_add(&stats->count, 1);
	if (failed) {
		slot = error_slot(ret);
		if (slot < ERRORS)
			__sync_fetch_and_add(&stats->errors[slot], 1);
	}

	since = bpf_map_lookup_elem(&entered, &id);
	if (since && now > *since) {
		took = now - *since;
		bpf_map_delete_elem(&entered, &id);
		__sync_fetch_and_add(&stats->total_ns, took);
		took /= 256;
		slot = 0;
#pragma clang loop unroll(disable)
		while (took && slot < SLOTS - 1) {
			took /= 2;
			slot++;
		}
		__sync_fetch_and_add(&stats->slots[slot], 1);
	}

	process = bpf_map_lookup_elem(&processes, &key);
	if (!process) {
		struct process_stats first = {.calls = 1, .failed = failed};

		bpf_get_current_comm(first.comm, sizeof(first.comm));
		bpf_map_update_elem(&processes, &key, &first, BPF_NOEXIST);
		return 0;
	}
	__sync_fetch_and_add(&process->calls, 1);
	if (failed)
		__sync_fetch_and_add(&process->failed, 1);
	return 0;
}
