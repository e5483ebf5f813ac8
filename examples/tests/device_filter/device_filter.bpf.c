/* SPDX-License-Identifier: Apache-2.0 */
/* Which devices a container has: null, zero and urandom, and no others are made. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MEMORY_DEVICES 1

SEC("cgroup/dev")
int device_filter(struct bpf_cgroup_dev_ctx *ctx)
{
	/* In one field: the kind of the device, and in the upper half what is to be done with it. */
	__u32 type = ctx->access_type & 0xffff;
	__u32 access = ctx->access_type >> 16;

	if (type != BPF_DEVCG_DEV_CHAR || ctx->major != MEMORY_DEVICES)
		return 0;
	if (access & BPF_DEVCG_ACC_MKNOD)
		return 0;
	switch (ctx->minor) {
	case 3:	/* null */
	case 5:	/* zero */
		return 1;
	case 9:	/* urandom, which nobody has to write to */
		return !(access & BPF_DEVCG_ACC_WRITE);
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
