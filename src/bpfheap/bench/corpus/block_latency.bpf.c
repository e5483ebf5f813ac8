/* SPDX-License-Identifier: Apache-2.0 */
/* How long disks take for a request: histograms by disk and operation, and what was slow. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "corpus.h"

#define SLOTS 24
#define OPERATIONS 4

struct disk_key {
	__u32 device;
	__u32 operation;
};

struct disk_counts {
	__u64 latency[SLOTS];
	__u64 sizes[12];
	__u64 bytes;
	__u64 random;
	__u64 sequential;
	__u64 next_sector;
};

struct slow_event {
	__u64 sector;
	__u64 took_ns;
	__u64 queued_ns;
	__u32 bytes;
	__u32 device;
	__u32 operation;
	int error;
	char disk[32];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct disk_key);
	__type(value, struct disk_counts);
} disks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} slow SEC(".maps");

const volatile __u64 slow_ns = 100000000;
/* How the names of disks begin that count. */
const volatile char only_disk[32] = "nvme";

static const struct disk_counts nothing;

static __always_inline __u32 log2_of(__u64 v, __u32 most)
{
	__u32 slot = 0;

#pragma clang loop unroll(disable)
	while (v > 1 && slot < most - 1) {
		v >>= 1;
		slot++;
	}
	return slot;
}

static __always_inline int is_wanted(const char *disk)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < 32; i++) {
		char c = only_disk[i];

		if (!c)
			return 1;
		if (c != disk[i])
			return 0;
	}
	return 1;
}

static __always_inline struct disk_counts *stats_of(struct disk_key *key)
{
	struct disk_counts *found = bpf_map_lookup_elem(&disks, key);

	if (found)
		return found;
	bpf_map_update_elem(&disks, key, &nothing, BPF_NOEXIST);
	return bpf_map_lookup_elem(&disks, key);
}

SEC("raw_tp/block_rq_complete")
int block_latency(struct bpf_raw_tracepoint_args *ctx)
{
	struct request *rq = (void *)ctx->args[0];
	int error = ctx->args[1];
	__u32 bytes = ctx->args[2];
	struct gendisk *gd = BPF_CORE_READ(rq, q, disk);
	__u64 now = bpf_ktime_get_ns(), issued = BPF_CORE_READ(rq, io_start_time_ns);
	__u64 began = BPF_CORE_READ(rq, start_time_ns), sector = BPF_CORE_READ(rq, __sector);
	struct disk_key key = {};
	struct disk_counts *stats;
	struct slow_event *event;
	char disk[32] = {};
	__u32 slot;

	if (!issued || issued > now)
		return 0;
	BPF_CORE_READ_STR_INTO(&disk, gd, disk_name);
	if (!is_wanted(disk))
		return 0;
	key.device = (BPF_CORE_READ(gd, major) << 20) | BPF_CORE_READ(gd, first_minor);
	key.operation = BPF_CORE_READ(rq, cmd_flags) & 0xff;
	if (key.operation >= OPERATIONS)
		key.operation = OPERATIONS - 1;
	stats = stats_of(&key);
	if (!stats)
		return 0;

	slot = log2_of((now - issued) / 1000, SLOTS);
	if (slot < SLOTS)
		__sync_fetch_and_add(&stats->latency[slot], 1);
	slot = log2_of(bytes / 512, 12);
	if (slot < 12)
		__sync_fetch_and_add(&stats->sizes[slot], 1);
	__sync_fetch_and_add(&stats->bytes, bytes);
	if (stats->next_sector == sector)
		__sync_fetch_and_add(&stats->sequential, 1);
	else
		__sync_fetch_and_add(&stats->random, 1);
	stats->next_sector = sector + bytes / 512;

	if (now - issued < slow_ns && !error)
		return 0;
	event = bpf_ringbuf_reserve(&slow, sizeof(*event), 0);
	if (!event)
		return 0;
	event->sector = sector;
	event->took_ns = now - issued;
	event->queued_ns = began < issued ? issued - began : 0;
	event->bytes = bytes;
	event->device = key.device;
	event->operation = key.operation;
	event->error = error;
	__builtin_memcpy(event->disk, disk, sizeof(disk));
	bpf_ringbuf_submit(event, 0);
	return 0;
}
