/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to services go to one of their servers: a load balancer without packets. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct place {
	__be32 address;
	__u16 port;
	__u16 protocol;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct place);
	__type(value, struct place);
} services SEC(".maps");

SEC("cgroup/connect4")
int redirect(struct bpf_sock_addr *ctx)
{
	struct place wanted = {
		.address = ctx->user_ip4,
		/* 16 bits in network order, in a field of 32. */
		.port = bpf_ntohs(ctx->user_port),
		.protocol = ctx->protocol,
	};
	struct place *server = bpf_map_lookup_elem(&services, &wanted);

	if (server) {
		ctx->user_ip4 = server->address;
		ctx->user_port = bpf_htons(server->port);
	}
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
