/* SPDX-License-Identifier: Apache-2.0 */
/* The slowest system call of each task, in storage that goes when the task does. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct calls {
	__u64 since;
	__u64 slowest_us;
	long slowest;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct calls);
} tasks SEC(".maps");

SEC("tp_btf/sys_enter")
int BPF_PROG(call_begins, struct pt_regs *regs, long id)
{
	struct calls *calls;

	calls = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0,
				     BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (calls)
		calls->since = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(call_ends, struct pt_regs *regs, long ret)
{
	struct calls *calls = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0);
	__u64 us;

	if (!calls || !calls->since)
		return 0;
	us = (bpf_ktime_get_ns() - calls->since) / 1000;
	calls->since = 0;
	if (us > calls->slowest_us) {
		calls->slowest_us = us;
		/* The mistake: when a call ends, this register has its result. */
		calls->slowest = regs->ax;
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
