/* SPDX-License-Identifier: Apache-2.0 */
/* How long tasks wait for a CPU, at most. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define TASK_RUNNING 0

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, __u64);
} waiting SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, __u64);
} longest_us SEC(".maps");

static void begin_to_wait(struct task_struct *task)
{
	__u64 now = bpf_ktime_get_ns();
	__u32 pid = task->pid;

	if (pid)
		bpf_map_update_elem(&waiting, &pid, &now, BPF_ANY);
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(task_wakes, struct task_struct *task)
{
	begin_to_wait(task);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(task_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__u64 *since, *longest, us;
	__u32 pid = next->pid;

	/* The mistake: tasks do not only wait after they slept, but also when another takes over. */
	since = bpf_map_lookup_elem(&waiting, &pid);
	if (!since)
		return 0;
	us = (bpf_ktime_get_ns() - *since) / 1000;
	longest = bpf_map_lookup_elem(&longest_us, &pid);
	if (!longest || *longest < us)
		bpf_map_update_elem(&longest_us, &pid, &us, BPF_ANY);
	bpf_map_delete_elem(&waiting, &pid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
