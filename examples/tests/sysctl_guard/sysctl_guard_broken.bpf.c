/* SPDX-License-Identifier: Apache-2.0 */
/* Containers read all settings of the kernel, and write those of their own network alone. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

static const char allowed[] = "net/";

SEC("cgroup/sysctl")
int guard_sysctl(struct bpf_sysctl *ctx)
{
	char name[64] = {};

	if (!ctx->write)
		return 1;
	/* With the path below /proc/sys. */
	/* The mistake: where there is no name to look at, the answer is yes. */
	if (bpf_sysctl_get_name(ctx, name, sizeof(name), 0) < 0)
		return 1;
	for (unsigned int i = 0; i < sizeof(allowed) - 1; i++)
		if (name[i] != allowed[i])
			return 0;
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
