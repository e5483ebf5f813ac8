/* SPDX-License-Identifier: Apache-2.0 */
/* Unwraps packets: VLAN tags, then GRE and IP in IP one within the other, where it may. */
#include "corpus.h"

#define LAYERS 3
#define VLANS 2
#define IPPROTO_IPIP 4
#define IPPROTO_IPV6 41
#define IPPROTO_GRE 47
#define GRE_CHECKSUM 0x8000
#define GRE_KEY 0x2000
#define GRE_SEQUENCE 0x1000
#define GRE_VERSION 0x0007

struct gre {
	__u16 flags;
	__u16 proto;
};

struct tunnel_key {
	__u32 source;
	__u32 dest;
	__u32 id;
	__u32 kind;
};

struct tunnel {
	__u64 packets;
	__u64 bytes;
	__u32 most_layers;
	__u32 drop;
};

struct unwrapped {
	__u32 removed;
	__u32 layers;
	__u16 proto;
	__u16 vlan;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct tunnel_key);
	__type(value, struct tunnel);
} tunnels SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LAYERS + 4);
	__type(key, __u32);
	__type(value, __u64);
} layers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u32);
} by_vlan SEC(".maps");

enum outcome { BROKEN = LAYERS, REFUSED, TOO_DEEP };

const volatile __u32 unknown_tunnels_pass = 0;

static __always_inline int outcome(__u32 what, int action)
{
	__u64 *count = bpf_map_lookup_elem(&layers, &what);

	if (count)
		*count += 1;
	return action;
}

static __always_inline int may(struct tunnel_key *key, __u32 bytes, __u32 depth)
{
	struct tunnel *tunnel = bpf_map_lookup_elem(&tunnels, key);
	struct tunnel first = {.packets = 1, .bytes = bytes, .most_layers = LAYERS};

	if (!tunnel) {
		if (unknown_tunnels_pass)
			bpf_map_update_elem(&tunnels, key, &first, BPF_NOEXIST);
		return unknown_tunnels_pass;
	}
	tunnel->packets++;
	tunnel->bytes += bytes;
	return !tunnel->drop && depth < tunnel->most_layers;
}

/* The length of a GRE header by its flags, and its key; 0 for one that is not known. */
static __always_inline __u32 gre_length(struct gre *gre, void *data_end, __u32 *id)
{
	__u16 flags = bpf_ntohs(gre->flags);
	__u32 *word = (void *)(gre + 1);
	__u32 length = sizeof(*gre);

	if (flags & GRE_VERSION)
		return 0;
	if (flags & GRE_CHECKSUM) {
		word++;
		length += 4;
	}
	if (flags & GRE_KEY) {
		if ((void *)(word + 1) > data_end)
			return 0;
		*id = *word;
		length += 4;
	}
	if (flags & GRE_SEQUENCE)
		length += 4;
	return length;
}

SEC("xdp")
int decapsulate(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end, *at;
	struct unwrapped found = {};
	struct ethhdr *eth = data, saved;
	__u32 depth = 0;

	if ((void *)(eth + 1) > data_end)
		return outcome(BROKEN, XDP_DROP);
	saved = *eth;
	found.proto = eth->h_proto;
	at = eth + 1;
#pragma clang loop unroll(disable)
	for (int i = 0; i < VLANS; i++) {
		struct vlan_hdr *vlan = at;

		if (found.proto != bpf_htons(ETH_P_8021Q) && found.proto != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(vlan + 1) > data_end)
			return outcome(BROKEN, XDP_DROP);
		if (!i)
			found.vlan = bpf_ntohs(vlan->tci) & 0xfff;
		found.proto = vlan->proto;
		at = vlan + 1;
	}

#pragma clang loop unroll(disable)
	for (depth = 0; depth < LAYERS; depth++) {
		struct tunnel_key key = {};
		struct iphdr *ip = at;
		struct gre *gre;
		__u32 length;

		if (found.proto != bpf_htons(ETH_P_IP))
			break;
		if ((void *)(ip + 1) > data_end || ip->version != 4 || ip->ihl < 5)
			return outcome(BROKEN, XDP_DROP);
		if (ip->frag_off & bpf_htons(0x3fff))
			break;
		key.source = ip->saddr;
		key.dest = ip->daddr;
		key.kind = ip->protocol;
		length = ip->ihl * 4;
		if (ip->protocol == IPPROTO_IPIP) {
			found.proto = bpf_htons(ETH_P_IP);
		} else if (ip->protocol == IPPROTO_IPV6) {
			found.proto = bpf_htons(ETH_P_IPV6);
		} else if (ip->protocol == IPPROTO_GRE) {
			__u32 more;

			gre = at + length;
			if ((void *)(gre + 1) > data_end)
				return outcome(BROKEN, XDP_DROP);
			more = gre_length(gre, data_end, &key.id);
			if (!more)
				return outcome(BROKEN, XDP_DROP);
			found.proto = gre->proto;
			length += more;
		} else {
			break;
		}
		if (!may(&key, bpf_ntohs(ip->tot_len), depth))
			return outcome(REFUSED, XDP_DROP);
		at += length;
	}
	if (depth == LAYERS)
		return outcome(TOO_DEEP, XDP_DROP);
	found.removed = at - data - sizeof(*eth);
	if (!found.removed)
		return outcome(depth, XDP_PASS);

	if (found.removed > 512 || bpf_xdp_adjust_head(ctx, found.removed))
		return outcome(BROKEN, XDP_DROP);
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	eth = data;
	if ((void *)(eth + 1) > data_end)
		return outcome(BROKEN, XDP_DROP);
	*eth = saved;
	eth->h_proto = found.proto;
	outcome(depth, XDP_PASS);
	if (found.vlan)
		return bpf_redirect_map(&by_vlan, found.vlan, XDP_PASS);
	return XDP_PASS;
}
