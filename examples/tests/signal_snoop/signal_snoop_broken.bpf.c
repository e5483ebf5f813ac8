/* SPDX-License-Identifier: Apache-2.0 */
/* Who sent which signal to whom. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct event {
	__u32 sender;
	__u32 target;
	int signal;
	char comm[16];
};

/* For the test, so that the type is in BTF. */
const struct event *unused __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

SEC("tp/signal/signal_generate")
int handle_signal(struct trace_event_raw_signal_generate *ctx)
{
	struct event event = {
		.sender = bpf_get_current_pid_tgid() >> 32,
		.target = ctx->pid,
		.signal = ctx->sig,
	};

	/* The mistake: this is the target's name. */
	bpf_probe_read_kernel_str(event.comm, sizeof(event.comm), ctx->comm);
	bpf_ringbuf_output(&events, &event, sizeof(event), 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
