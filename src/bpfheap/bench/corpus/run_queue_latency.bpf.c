/* SPDX-License-Identifier: Apache-2.0 */
/* How long do tasks wait for a CPU? Histograms by control group, and who waits too long. */
#include "kernel.h"

#define SLOTS 26
#define TASK_RUNNING 0

struct histogram {
	__u64 slots[SLOTS];
	__u64 sum_ns;
	__u64 longest_ns;
};

struct wait_event {
	__u64 cgroup;
	__u64 waited_ns;
	__u32 pid;
	__u32 before;
	__u32 cpu;
	int prio;
	char comm[16];
	char comm_before[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, __u64);
} queued_at SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct histogram);
} by_cgroup SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct histogram);
} by_class SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} events SEC(".maps");

const volatile __u64 report_above_ns = 10000000;
const volatile __u32 only_tgid = 0;
/* The names of tasks that are not reported, however long they wait. */
const volatile char ignored[4][16] = {"swapper", "kworker", "ksoftirqd", "migration"};

static const struct histogram empty;

static __always_inline __u32 log2_of(__u64 value)
{
	__u32 slot = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < SLOTS - 1; i++) {
		value >>= 1;
		if (!value)
			break;
		slot++;
	}
	return slot;
}

static __always_inline void note(struct histogram *h, __u64 ns)
{
	__u32 slot = log2_of(ns / 1000);

	if (slot < SLOTS)
		__sync_fetch_and_add(&h->slots[slot], 1);
	__sync_fetch_and_add(&h->sum_ns, ns);
	if (ns > h->longest_ns)
		h->longest_ns = ns;
}

static __always_inline int is_ignored(const char *comm)
{
#pragma clang loop unroll(disable)
	for (int name = 0; name < 4; name++) {
		int same = 1;

#pragma clang loop unroll(disable)
		for (int i = 0; i < 8; i++) {
			char c = ignored[name][i];

			if (!c)
				break;
			if (c != comm[i]) {
				same = 0;
				break;
			}
		}
		if (same)
			return 1;
	}
	return 0;
}

/* Real time, by priority, and the rest, by policy. */
static __always_inline __u32 class_of(struct task_struct *task)
{
	int prio = kernel_read(task, prio);
	__u32 policy = kernel_read(task, policy);

	if (prio < 0)
		return 0;
	if (prio < 100)
		return 1 + (prio >= 50);
	return policy == 3 ? 3 : policy == 5 ? 4 : 5;
}

static __always_inline __u64 cgroup_of(struct task_struct *task)
{
	struct cgroup *cgroup = kernel_read(kernel_read(task, cgroups), dfl_cgrp);

	return kernel_read(kernel_read(cgroup, kn), id);
}

static __always_inline void enqueue(struct task_struct *task, __u64 now)
{
	__u32 pid = kernel_read(task, pid), tgid = kernel_read(task, tgid);

	if (!pid || (only_tgid && tgid != only_tgid))
		return;
	bpf_map_update_elem(&queued_at, &pid, &now, BPF_ANY);
}

SEC("raw_tp/sched_switch")
int run_queue_latency(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *prev = (void *)ctx->args[1], *next = (void *)ctx->args[2];
	__u64 now = bpf_ktime_get_ns(), *since, waited, cgroup;
	__u32 pid = kernel_read(next, pid), class = class_of(next);
	struct histogram *h;
	struct wait_event event = {};

	/* What is still able to run, waits from now on. */
	if (kernel_read(prev, __state) == TASK_RUNNING)
		enqueue(prev, now);

	since = bpf_map_lookup_elem(&queued_at, &pid);
	if (!since)
		return 0;
	waited = now - *since;
	bpf_map_delete_elem(&queued_at, &pid);
	if ((__s64)waited < 0)
		return 0;

	h = bpf_map_lookup_elem(&by_class, &class);
	if (h)
		note(h, waited);
	cgroup = cgroup_of(next);
	h = bpf_map_lookup_elem(&by_cgroup, &cgroup);
	if (!h) {
		bpf_map_update_elem(&by_cgroup, &cgroup, &empty, BPF_NOEXIST);
		h = bpf_map_lookup_elem(&by_cgroup, &cgroup);
		if (!h)
			return 0;
	}
	note(h, waited);

	if (waited < report_above_ns)
		return 0;
	bpf_probe_read_kernel_str(event.comm, sizeof(event.comm), next->comm);
	if (is_ignored(event.comm))
		return 0;
	bpf_probe_read_kernel_str(event.comm_before, sizeof(event.comm_before), prev->comm);
	event.cgroup = cgroup;
	event.waited_ns = waited;
	event.pid = pid;
	event.before = kernel_read(prev, pid);
	event.cpu = bpf_get_smp_processor_id();
	event.prio = kernel_read(next, prio);
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &event, sizeof(event));
	return 0;
}
