/* SPDX-License-Identifier: Apache-2.0 */
/* Files that could not be opened, and why. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct event {
	__u32 pid;
	int error;
	char filename[64];
};

/* For the test, so that the type is in BTF. */
const struct event *unused __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, const char *);
} opening SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

SEC("tp/syscalls/sys_enter_openat")
int enter_openat(struct trace_event_raw_sys_enter *ctx)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	const char *filename = (const char *)ctx->args[1];

	bpf_map_update_elem(&opening, &tid, &filename, BPF_ANY);
	return 0;
}

SEC("tp/syscalls/sys_exit_openat")
int exit_openat(struct trace_event_raw_sys_exit *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tid = (__u32)id;
	const char **filename = bpf_map_lookup_elem(&opening, &tid);
	struct event *e;

	if (!filename)
		return 0;
	if (ctx->ret >= 0)
		goto out;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		goto out;
	e->pid = id >> 32;
	e->error = -ctx->ret;
	/* The mistake: the name is in memory of user space, which this does not read. */
	bpf_probe_read_kernel_str(e->filename, sizeof(e->filename), *filename);
	bpf_ringbuf_submit(e, 0);
out:
	bpf_map_delete_elem(&opening, &tid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
