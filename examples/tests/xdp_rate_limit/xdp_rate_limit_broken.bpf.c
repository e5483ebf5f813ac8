/* SPDX-License-Identifier: Apache-2.0 */
/* So many packets a second of each sender, and a burst now and then: a bucket of tokens. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define ETH_P_IP 0x0800
#define SECOND 1000000000ULL

const volatile __u64 per_second = 1000;
const volatile __u64 burst = 100;

struct sender_bucket {
	struct bpf_spin_lock lock;
	__u64 tokens;
	__u64 filled_at;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __be32);
	__type(value, struct sender_bucket);
} buckets SEC(".maps");

SEC("xdp")
int rate_limit(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct sender_bucket fresh = {}, *bucket;
	__u64 now, new;
	int verdict = XDP_DROP;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	now = bpf_ktime_get_ns();
	bucket = bpf_map_lookup_elem(&buckets, &ip->saddr);
	if (!bucket) {
		fresh.tokens = burst - 1;
		fresh.filled_at = now;
		bpf_map_update_elem(&buckets, &ip->saddr, &fresh, BPF_NOEXIST);
		return XDP_PASS;
	}
	bpf_spin_lock(&bucket->lock);
	new = (now - bucket->filled_at) * per_second / SECOND;
	if (new) {
		bucket->tokens += new;
		bucket->filled_at = now;
	}
	/* The mistake: who was quiet for an hour may send an hour's packets at once. */
	if (bucket->tokens) {
		bucket->tokens--;
		verdict = XDP_PASS;
	}
	bpf_spin_unlock(&bucket->lock);
	return verdict;
}

char LICENSE[] SEC("license") = "GPL";
