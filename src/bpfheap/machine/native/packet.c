/*
 * Packets of xdp and tc programs, and the calls that change them (net/core/filter.c). Contexts have
 * 32 bits for a pointer into the packet, so its page lies where 32 bits can point to.
 */
#include "packet.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

enum {
	ETH_HLEN = 14,
	STORE_FLAGS = 3,    /* BPF_F_RECOMPUTE_CSUM, BPF_F_INVALIDATE_HASH */
	INVALIDATE_HASH = 2,
	LONGEST_META = 255, /* skb_shared_info.meta_len has one byte */
};

static uint64_t error(int number)
{
	return (uint64_t)(int64_t)number;
}

void bh_packet_show(struct bh_run *run)
{
	const struct bh_packet *p = &run->packet;
	const uint32_t at[] = { p->data, p->end, p->start };

	for (unsigned i = 0; i < 3; i++) {
		uint64_t shown = (uintptr_t)(p->page + at[i]);

		if (p->fields[i] >= 0)
			memcpy((char *)run->ctx + p->fields[i], &shown, p->wide ? 8 : 4);
	}
}

static char *piece(const struct bh_packet *p, uint32_t at, uint32_t size)
{
	return at <= INT_MAX && (uint64_t)at + size <= p->end - p->data ? p->page + p->data + at :
									  NULL;
}

int64_t bh_packet_load(struct bh_run *run, int32_t at, uint32_t size)
{
	const unsigned char *from;
	int64_t found = 0;

	if (BH_UNLIKELY(at < 0)) {
		/* From where a header begins, which Python knows. No signal runs programs with packets. */
		run->r[1] = (uint64_t)(uintptr_t)run->ctx;
		run->r[2] = (uint64_t)(int64_t)at;
		run->r[3] = size;
		return run->ask ? (int64_t)run->ask(run) : -1;
	}
	from = (const unsigned char *)piece(&run->packet, (uint32_t)at, size);
	if (!from)
		return -1;
	while (size--)
		found = found << 8 | *from++;
	return found;
}

uint64_t bpf_skb_load_bytes(struct bh_run *run, const uint64_t *r)
{
	char *from = piece(&run->packet, (uint32_t)r[2], (uint32_t)r[4]);

	if (!from) {
		memset((void *)r[3], 0, (uint32_t)r[4]);
		return error(-EFAULT);
	}
	memmove((void *)r[3], from, (uint32_t)r[4]);
	return 0;
}

uint64_t bpf_skb_store_bytes(struct bh_run *run, const uint64_t *r)
{
	char *to = piece(&run->packet, (uint32_t)r[2], (uint32_t)r[4]);

	/* What is known of the packet, Python knows. */
	if (r[5] & INVALIDATE_HASH)
		return bh_run_ask(run);
	if (r[5] & ~(uint64_t)STORE_FLAGS)
		return error(-EINVAL);
	if (!to)
		return error(-EFAULT);
	memmove(to, (void *)r[3], (uint32_t)r[4]);
	return 0;
}

uint64_t bpf_skb_pull_data(struct bh_run *run, const uint64_t *r)
{
	/* All of the packet is there already. */
	return (uint32_t)r[2] > run->packet.end - run->packet.data ? error(-ENOMEM) : 0;
}

uint64_t bpf_xdp_adjust_head(struct bh_run *run, const uint64_t *r)
{
	struct bh_packet *p = &run->packet;
	int64_t by = (int32_t)r[2], data = p->data + by, start = p->start + by;

	if (start < p->lowest || data > (int64_t)p->end - ETH_HLEN)
		return error(-EINVAL);
	/* The metadata moves along; what comes in front of the packet is 0. */
	memmove(p->page + start, p->page + p->start, p->data - p->start);
	if (by < 0)
		memset(p->page + data, 0, (size_t)-by);
	p->start = (uint32_t)start;
	p->data = (uint32_t)data;
	bh_packet_show(run);
	return 0;
}

uint64_t bpf_xdp_adjust_meta(struct bh_run *run, const uint64_t *r)
{
	struct bh_packet *p = &run->packet;
	int64_t by = (int32_t)r[2], start = p->start + by;

	if (start < p->lowest || start > p->data)
		return error(-EINVAL);
	if ((p->data - start) % 4 || p->data - start > LONGEST_META)
		return error(-EACCES);
	if (by < 0)
		memset(p->page + start, 0, (size_t)-by);
	p->start = (uint32_t)start;
	bh_packet_show(run);
	return 0;
}

uint64_t bpf_xdp_adjust_tail(struct bh_run *run, const uint64_t *r)
{
	struct bh_packet *p = &run->packet;
	int64_t by = (int32_t)r[2], end = p->end + by;

	if (end > p->highest || end < (int64_t)p->data + ETH_HLEN)
		return error(-EINVAL);
	if (by > 0)
		memset(p->page + p->end, 0, (size_t)by);
	p->end = (uint32_t)end;
	bh_packet_show(run);
	return 0;
}
