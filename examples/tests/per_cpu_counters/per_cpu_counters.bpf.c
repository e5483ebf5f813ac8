/* SPDX-License-Identifier: Apache-2.0 */
/* Packets and bytes of each protocol, counted by each CPU for itself. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct traffic {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, __u16);
	__type(value, struct traffic);
} protocols SEC(".maps");

SEC("xdp")
int count(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct traffic first = {.packets = 1, .bytes = end - data}, *traffic;
	struct ethhdr *eth = data;
	__u16 protocol;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	protocol = bpf_ntohs(eth->h_proto);
	traffic = bpf_map_lookup_elem(&protocols, &protocol);
	if (traffic) {
		traffic->packets++;
		traffic->bytes += end - data;
	} else {
		bpf_map_update_elem(&protocols, &protocol, &first, BPF_ANY);
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
