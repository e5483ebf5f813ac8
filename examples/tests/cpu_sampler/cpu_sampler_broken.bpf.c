/* SPDX-License-Identifier: Apache-2.0 */
/* A profiler: how often samples were taken of a process, by its stack in user space. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

typedef __u64 stack_trace_t[32];

struct sampled {
	__u32 pid;
	int stack;
};

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, stack_trace_t);
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, struct sampled);
	__type(value, __u64);
} samples SEC(".maps");

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	struct sampled key = {.pid = bpf_get_current_pid_tgid() >> 32};
	__u64 *count, one = 1;

	/* Nobody runs. */
	if (!key.pid)
		return 0;
	/* Below 0 if there is no stack, which is counted, too. */
	key.stack = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	/* The mistake: a task without a stack uses the CPU, too. */
	if (key.stack < 0)
		return 0;
	count = bpf_map_lookup_elem(&samples, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&samples, &key, &one, BPF_NOEXIST);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
