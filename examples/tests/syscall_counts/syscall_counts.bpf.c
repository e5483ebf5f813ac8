/* SPDX-License-Identifier: Apache-2.0 */
/* Which system calls the processes of one name make, and how often. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define SYSCALLS 512

const volatile char wanted[16] = "";

__u64 counts[SYSCALLS];

static bool is_wanted(void)
{
	char comm[16];

	if (!wanted[0])
		return true;
	bpf_get_current_comm(comm, sizeof(comm));
	for (int i = 0; i < 16; i++) {
		if (comm[i] != wanted[i])
			return false;
		if (!comm[i])
			break;
	}
	return true;
}

SEC("raw_tp/sys_enter")
int handle_sys_enter(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 id = ctx->args[1];

	if (!is_wanted() || id >= SYSCALLS)
		return 0;
	__sync_fetch_and_add(&counts[id], 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
