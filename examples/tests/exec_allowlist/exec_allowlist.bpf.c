/* SPDX-License-Identifier: Apache-2.0 */
/* Only programs that are on a list are executed. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define EPERM 1

struct program {
	__u64 inode;
	__u64 device;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct program);
	__type(value, __u8);
} allowed SEC(".maps");

SEC("lsm/bprm_check_security")
int BPF_PROG(check_exec, struct linux_binprm *bprm, int ret)
{
	struct inode *inode = bprm->file->f_inode;
	struct program program = {
		.inode = inode->i_ino,
		.device = inode->i_sb->s_dev,
	};

	if (ret)
		return ret;
	return bpf_map_lookup_elem(&allowed, &program) ? 0 : -EPERM;
}

char LICENSE[] SEC("license") = "GPL";
