/* SPDX-License-Identifier: Apache-2.0 */
/* A log of events in an array: the place of the next one is masked. */
#include "corpus.h"

#define EVENTS 256

struct event {
	__u64 ns;
	__u64 task;
	__u32 cpu;
	__u32 kind;
};

struct log {
	__u64 next;
	struct event events[EVENTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct log);
} logs SEC(".maps");

SEC("raw_tp/sys_enter")
int event_log(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 key = 0;
	struct log *log = bpf_map_lookup_elem(&logs, &key);
	struct event *event;

	if (!log)
		return 0;
	event = &log->events[__sync_fetch_and_add(&log->next, 1) & (EVENTS - 1)];
	event->ns = bpf_ktime_get_ns();
	event->task = ctx->args[0];
	event->cpu = bpf_get_smp_processor_id();
	event->kind = ctx->args[1];
	return 0;
}
