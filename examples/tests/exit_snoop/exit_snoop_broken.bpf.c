/* SPDX-License-Identifier: Apache-2.0 */
/* How long processes lived, and how they ended. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct event {
	__u32 pid;
	__u32 status;
	__u64 lived_ms;
};

/* For the test, so that the type is in BTF. */
const struct event *unused __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

SEC("tp/sched/sched_process_exit")
int handle_exit(void *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 id = bpf_get_current_pid_tgid();
	struct event *e;

	/* The mistake: this runs for threads, too. */
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	e->pid = id >> 32;
	e->status = BPF_CORE_READ(task, exit_code) >> 8 & 0xff;
	e->lived_ms = (bpf_ktime_get_ns() - BPF_CORE_READ(task, start_time)) / 1000000;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
