/* SPDX-License-Identifier: Apache-2.0 */
/* Files that nobody deletes, not even root. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define EPERM 1

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} guarded SEC(".maps");

SEC("lsm/inode_unlink")
int BPF_PROG(guard_unlink, struct inode *dir, struct dentry *dentry, int ret)
{
	__u64 inode = BPF_CORE_READ(dentry, d_inode, i_ino);
	__u64 *attempts;

	/* The mistake: what another module has refused is allowed again. */
	attempts = bpf_map_lookup_elem(&guarded, &inode);
	if (!attempts)
		return 0;
	__sync_fetch_and_add(attempts, 1);
	return -EPERM;
}

char LICENSE[] SEC("license") = "GPL";
