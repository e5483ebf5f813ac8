/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that a process allocated and did not free. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, __u64);
} asked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1000000);
	__type(key, __u64);
	__type(value, __u64);
} allocated SEC(".maps");

SEC("uprobe/libc.so.6:malloc")
int BPF_UPROBE(malloc_begins, size_t size)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	__u64 wanted = size;

	bpf_map_update_elem(&asked, &tid, &wanted, BPF_ANY);
	return 0;
}

SEC("uretprobe/libc.so.6:malloc")
int BPF_URETPROBE(malloc_ends, void *address)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	__u64 *size = bpf_map_lookup_elem(&asked, &tid);
	__u64 key = (__u64)address;

	if (!size)
		return 0;
	/* The mistake: a call that failed is recorded like any other. */
	bpf_map_update_elem(&allocated, &key, size, BPF_ANY);
	bpf_map_delete_elem(&asked, &tid);
	return 0;
}

SEC("uprobe/libc.so.6:free")
int BPF_UPROBE(free_begins, void *address)
{
	__u64 key = (__u64)address;

	bpf_map_delete_elem(&allocated, &key);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
