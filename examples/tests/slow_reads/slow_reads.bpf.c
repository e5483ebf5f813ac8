/* SPDX-License-Identifier: Apache-2.0 */
/* Reads of files that take long. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

const volatile __u64 least_us = 10000;

struct event {
	__u32 tid;
	__u32 us;
	long result;
	char name[32];
};

/* For the test, so that the type is in BTF. */
const struct event *unused __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, __u64);
} begun SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

static __u32 current_thread(void)
{
	return (__u32)bpf_get_current_pid_tgid();
}

SEC("fentry/vfs_read")
int BPF_PROG(read_begins)
{
	__u32 tid = current_thread();
	__u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&begun, &tid, &now, BPF_ANY);
	return 0;
}

SEC("fexit/vfs_read")
int BPF_PROG(read_ends, struct file *file, char *buf, size_t count, loff_t *pos, ssize_t ret)
{
	__u32 tid = current_thread();
	__u64 *at = bpf_map_lookup_elem(&begun, &tid);
	struct event *e;
	__u64 us;

	if (!at)
		return 0;
	us = (bpf_ktime_get_ns() - *at) / 1000;
	bpf_map_delete_elem(&begun, &tid);
	if (us < least_us)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	e->tid = tid;
	e->us = us;
	e->result = ret;
	bpf_probe_read_kernel_str(e->name, sizeof(e->name), file->f_path.dentry->d_name.name);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
