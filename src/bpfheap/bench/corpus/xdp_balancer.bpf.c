/* SPDX-License-Identifier: Apache-2.0 */
/* Spreads connections over servers: a hash ring, a table of connections, and a tunnel. */
#include "corpus.h"

#define RING 65537
#define STRIDES 8
#define AF_INET 2
#define IPPROTO_IPIP 4
#define TTL 64

struct tcp_start {
	__u16 source;
	__u16 dest;
	__u32 seq;
	__u32 ack_seq;
	__u8 offset;
	__u8 flags;
};

struct service_key {
	__u32 address;
	__u16 port;
	__u16 protocol;
};

struct service {
	__u32 number;
	__u32 flags;
	__u32 source;
	__u32 pad;
	__u64 packets;
	__u64 bytes;
};

struct tuple {
	__u32 source;
	__u32 dest;
	__u32 ports;
	__u32 protocol;
};

struct chosen {
	__u32 server;
	__u32 generation;
	__u64 seen_ns;
};

struct server {
	__u32 address;
	__u32 alive;
	__u32 generation;
	__u32 pad;
	__u64 packets;
	__u64 bytes;
};

/* What bpf_fib_lookup is asked, and answers; the kernel's struct, without its unions. */
struct route {
	__u8 family;
	__u8 l4_protocol;
	__u16 sport;
	__u16 dport;
	__u16 tot_len;
	__u32 ifindex;
	__u32 tos;
	__u32 source[4];
	__u32 dest[4];
	__u32 mark;
	__u8 smac[6];
	__u8 dmac[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, struct service_key);
	__type(value, struct service);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RING);
	__type(key, __u32);
	__type(value, __u32);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct server);
} servers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 20);
	__type(key, struct tuple);
	__type(value, struct chosen);
} connections SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} ports_out SEC(".maps");

const volatile __u32 hash_seed = 0x2545f491;
const volatile __u64 connection_timeout_ns = 60000000000ULL;

static __always_inline __u32 rotate(__u32 v, __u32 by)
{
	return v << by | v >> (32 - by);
}

static __always_inline __u32 hash_of(const struct tuple *t)
{
	__u32 a = t->source + hash_seed, b = t->dest + hash_seed, c = t->ports ^ t->protocol;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 12; i++) {
		c ^= b;
		c -= rotate(b, 14);
		a ^= c;
		a -= rotate(c, 11);
		b ^= a;
		b -= rotate(a, 25);
	}
	return c;
}

static __always_inline struct server *alive(__u32 number)
{
	struct server *server = bpf_map_lookup_elem(&servers, &number);

	return server && server->alive ? server : NULL;
}

/* The first server on the ring that is alive, in larger and larger steps. */
static __always_inline struct server *on_ring(struct service *service, __u32 hash, __u32 *number)
{
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < STRIDES; i++) {
		__u32 slot = (hash + service->number * 251 + i * i * 127) % RING;
		__u32 *entry = bpf_map_lookup_elem(&ring, &slot);
		struct server *server;

		if (!entry)
			continue;
		*number = *entry;
		server = alive(*entry);
		if (server)
			return server;
	}
	return NULL;
}

static __always_inline struct server *server_for(struct service *service, struct tuple *tuple,
						 int is_new)
{
	__u64 now = bpf_ktime_get_ns();
	struct chosen *known = NULL, chosen = {.seen_ns = now};
	struct server *server;

	if (!is_new)
		known = bpf_map_lookup_elem(&connections, tuple);
	if (known && now - known->seen_ns < connection_timeout_ns) {
		server = alive(known->server);
		if (server && server->generation == known->generation) {
			known->seen_ns = now;
			return server;
		}
	}
	server = on_ring(service, hash_of(tuple), &chosen.server);
	if (!server)
		return NULL;
	chosen.generation = server->generation;
	bpf_map_update_elem(&connections, tuple, &chosen, BPF_ANY);
	return server;
}

static __always_inline __u16 header_checksum(struct iphdr *ip)
{
	__u16 *words = (void *)ip;
	__u32 sum = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < (int)(sizeof(*ip) / 2); i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Puts a header around the packet, and sends it where the server is. */
static __always_inline int tunnel(struct xdp_md *ctx, struct service *service,
				  struct server *server, __u16 length, __u8 tos)
{
	struct route route = {.family = AF_INET, .ifindex = ctx->ingress_ifindex};
	void *data, *data_end;
	struct ethhdr *eth;
	struct iphdr *ip;

	route.l4_protocol = IPPROTO_IPIP;
	route.tot_len = length + sizeof(*ip);
	route.source[0] = service->source;
	route.dest[0] = server->address;
	if (bpf_fib_lookup(ctx, (void *)&route, sizeof(route), 0))
		return XDP_PASS;
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*ip)))
		return XDP_DROP;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	eth = data;
	ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > data_end)
		return XDP_DROP;
	__builtin_memcpy(eth->h_dest, route.dmac, sizeof(eth->h_dest));
	__builtin_memcpy(eth->h_source, route.smac, sizeof(eth->h_source));
	eth->h_proto = bpf_htons(ETH_P_IP);
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = tos;
	ip->tot_len = bpf_htons(length + sizeof(*ip));
	ip->id = 0;
	ip->frag_off = bpf_htons(0x4000);
	ip->ttl = TTL;
	ip->protocol = IPPROTO_IPIP;
	ip->check = 0;
	ip->saddr = service->source;
	ip->daddr = server->address;
	ip->check = header_checksum(ip);
	server->packets++;
	server->bytes += length;
	if (route.ifindex == ctx->ingress_ifindex)
		return XDP_TX;
	return bpf_redirect_map(&ports_out, route.ifindex, XDP_PASS);
}

SEC("xdp")
int xdp_balancer(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct service_key key = {};
	struct tuple tuple = {};
	struct service *service;
	struct server *server;
	struct ports *ports;
	__u16 length;
	int is_new = 0;

	if ((void *)(ip + 1) > data_end)
		return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5)
		return XDP_PASS;
	if (ip->frag_off & bpf_htons(0x3fff))
		return XDP_PASS;
	length = bpf_ntohs(ip->tot_len);
	ports = (void *)(ip + 1);
	if (ip->protocol == IPPROTO_TCP) {
		struct tcp_start *tcp = (void *)ports;

		if ((void *)(tcp + 1) > data_end)
			return XDP_DROP;
		is_new = (tcp->flags & 0x12) == 0x02;
	} else if (ip->protocol == IPPROTO_UDP) {
		if ((void *)(ports + 1) > data_end)
			return XDP_DROP;
	} else {
		return XDP_PASS;
	}
	key.address = ip->daddr;
	key.port = ports->dest;
	key.protocol = ip->protocol;
	service = bpf_map_lookup_elem(&services, &key);
	if (!service)
		return XDP_PASS;
	__sync_fetch_and_add(&service->packets, 1);
	__sync_fetch_and_add(&service->bytes, length);

	tuple.source = ip->saddr;
	tuple.dest = ip->daddr;
	tuple.ports = ports->source | (__u32)ports->dest << 16;
	tuple.protocol = ip->protocol;
	server = server_for(service, &tuple, is_new);
	if (!server)
		return XDP_DROP;
	return tunnel(ctx, service, server, length, ip->tos);
}
