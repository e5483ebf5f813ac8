/* SPDX-License-Identifier: Apache-2.0 */
/* Reserves a record, fills it in, and submits it, or discards it when it says nothing new. */
#include "corpus.h"

struct event {
	__u64 ns;
	__u64 task;
	__u32 kind;
	__u32 cpu;
	__u8 data[32];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} events SEC(".maps");

__u64 last_task, lost;

SEC("raw_tp/sched_switch")
int ringbuf_events(struct bpf_raw_tracepoint_args *ctx)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	event->task = ctx->args[1];
	if (event->task == last_task) {
		bpf_ringbuf_discard(event, 0);
		return 0;
	}
	last_task = event->task;
	event->ns = bpf_ktime_get_ns();
	event->kind = ctx->args[0];
	event->cpu = bpf_get_smp_processor_id();
	for (int i = 0; i < 32; i++)
		event->data[i] = i;
	bpf_ringbuf_submit(event, event->kind ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
	return 0;
}
