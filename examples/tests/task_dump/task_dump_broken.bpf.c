/* SPDX-License-Identifier: Apache-2.0 */
/* A file that lists all processes, with the number of their threads. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

SEC("iter/task")
int dump_task(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;
	/* Threads are counted with their process. */
	if (task->pid != task->tgid)
		return 0;
	/* The mistake: this runs for each task. */
	BPF_SEQ_PRINTF(seq, "%8s %8s %8s %s\n", "PID", "PPID", "THREADS", "NAME");
	BPF_SEQ_PRINTF(seq, "%8d %8d %8d %s\n", task->tgid, task->real_parent->tgid,
		       task->signal->nr_threads, task->comm);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
