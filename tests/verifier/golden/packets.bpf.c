/* SPDX-License-Identifier: Apache-2.0 */
/* Packets, and records of a ring buffer. */
#include "mistakes.h"

struct eth {
	__u8 dst[6];
	__u8 src[6];
	__u16 proto;
};

struct event {
	__u64 time;
	__u64 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

#define start(ctx) ((void *)(long)(ctx)->data)
#define stop(ctx) ((void *)(long)(ctx)->data_end)

SEC("xdp")
int packet_unchecked(struct xdp_md *ctx)
{
	struct eth *eth = start(ctx);

	return eth->proto & 1;
}

SEC("xdp")
int packet_checked_too_short(struct xdp_md *ctx)
{
	struct eth *eth = start(ctx);

	if ((void *)eth + 12 > stop(ctx))
		return 0;
	return eth->proto & 1;
}

SEC("xdp")
int packet_behind_a_variable_part(struct xdp_md *ctx)
{
	__u8 *data = start(ctx);

	if ((void *)data + 1 > stop(ctx))
		return 0;
	return data[*data & 15] & 1;
}

SEC("xdp")
int packet_moved(struct xdp_md *ctx)
{
	__u8 *data = start(ctx);

	if ((void *)data + 1 > stop(ctx))
		return 0;
	if (bpf_xdp_adjust_head(ctx, -8))
		return 0;
	return *(volatile __u8 *)data & 1;
}

SEC("xdp")
int packet_end_read(struct xdp_md *ctx)
{
	return *(volatile __u8 *)stop(ctx);
}

SEC("tc")
int record_unchecked(struct __sk_buff *skb)
{
	struct event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);

	e->time = 1;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc")
int record_lost(struct __sk_buff *skb)
{
	struct event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);

	if (!e)
		return 0;
	if (skb->len > 100)
		return 1;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc")
int record_written_after_submit(struct __sk_buff *skb)
{
	struct event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);

	if (!e)
		return 0;
	bpf_ringbuf_submit(e, 0);
	*(volatile __u64 *)&e->count = 1;
	return 0;
}

SEC("tc")
int record_too_short(struct __sk_buff *skb)
{
	struct event *e = bpf_ringbuf_reserve(&ring, 8, 0);

	if (!e)
		return 0;
	e->count = 1;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tc")
int record_of_unknown_size(struct __sk_buff *skb)
{
	struct event *e = bpf_ringbuf_reserve(&ring, skb->len, 0);

	if (e)
		bpf_ringbuf_discard(e, 0);
	return 0;
}
