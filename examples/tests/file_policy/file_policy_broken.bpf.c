/* SPDX-License-Identifier: Apache-2.0 */
/* Nobody but root opens files in a folder called "secrets", or in folders below it. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define EPERM 1


static bool is_secrets(struct dentry *dentry)
{
	char name[8] = {};

	/* A longer name is cut, and then it lacks its end. */
	if (BPF_CORE_READ(dentry, d_name.len) != sizeof("secrets") - 1)
		return false;
	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(dentry, d_name.name));
	return !__builtin_memcmp(name, "secrets", 7);
}

SEC("lsm/file_open")
int BPF_PROG(file_open, struct file *file, int ret)
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);

	/* Another module has refused it already. */
	if (ret)
		return ret;
	if ((__u32)bpf_get_current_uid_gid() == 0)
		return 0;
	/* The mistake: only the folder that the file itself is in is looked at. */
	return is_secrets(BPF_CORE_READ(dentry, d_parent)) ? -EPERM : 0;
}

char LICENSE[] SEC("license") = "GPL";
