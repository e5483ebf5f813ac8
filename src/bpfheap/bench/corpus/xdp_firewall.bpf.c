/* SPDX-License-Identifier: Apache-2.0 */
/* A firewall for both versions of IP: networks, rules for ports, and known connections. */
#include "corpus.h"

#define RULES 16
#define EXTENSIONS 8
#define VLANS 2

#define IPPROTO_HOPOPTS 0
#define IPPROTO_ICMP 1
#define IPPROTO_ROUTING 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_ICMPV6 58
#define IPPROTO_NONE 59
#define IPPROTO_DSTOPTS 60

struct network4 {
	__u32 prefix;
	__u32 address;
};

struct network6 {
	__u32 prefix;
	__u32 address[4];
};

struct tcp_start {
	__u16 source;
	__u16 dest;
	__u32 seq;
	__u32 ack_seq;
	__u8 offset;
	__u8 flags;
};

struct flow {
	__u32 source[4];
	__u32 dest[4];
	__u16 source_port;
	__u16 dest_port;
	__u8 protocol;
	__u8 pad[3];
};

struct flow_state {
	__u64 seen_ns;
	__u64 packets;
	__u32 established;
};

struct rule {
	__u16 first_port;
	__u16 last_port;
	__u8 protocol;
	__u8 action;
	__u8 log;
	__u8 new_only;
	__u32 network;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct network4);
	__type(value, __u32);
} networks4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct network6);
	__type(value, __u32);
} networks6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct flow);
	__type(value, struct flow_state);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RULES);
	__type(key, __u32);
	__type(value, struct rule);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RULES + 8);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

enum counter { BLOCKED_NETWORK = RULES, KNOWN_FLOW, FRAGMENT, BROKEN, NO_RULE };

#define BLOCKED 1

const volatile __u32 default_action = XDP_DROP;
const volatile __u64 flow_timeout_ns = 300000000000ULL;

static __always_inline int verdict(__u32 counter, int action)
{
	__u64 *count = bpf_map_lookup_elem(&counters, &counter);

	if (count)
		*count += 1;
	return action;
}

/* Behind all extension headers; NULL for a fragment without ports, or a chain that is broken. */
static __always_inline void *skip_extensions(void *at, void *data_end, __u8 *next)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < EXTENSIONS; i++) {
		__u8 *header = at;

		switch (*next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			if (at + 8 > data_end)
				return NULL;
			*next = header[0];
			at += 8 + header[1] * 8;
			break;
		case IPPROTO_FRAGMENT:
			if (at + 8 > data_end)
				return NULL;
			if ((header[2] << 8 | header[3]) & 0xfff8)
				return NULL;
			*next = header[0];
			at += 8;
			break;
		default:
			return at;
		}
	}
	return NULL;
}

static __always_inline int apply_rules(struct flow *flow, __u32 network, int is_new)
{
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < RULES; i++) {
		__u32 key = i, port = bpf_ntohs(flow->dest_port);
		struct rule *rule = bpf_map_lookup_elem(&rules, &key);

		if (!rule)
			break;
		if (rule->protocol && rule->protocol != flow->protocol)
			continue;
		if (rule->network && rule->network != network)
			continue;
		if (rule->new_only && !is_new)
			continue;
		if (port < rule->first_port || port > rule->last_port)
			continue;
		return verdict(i, rule->action == XDP_PASS ? XDP_PASS : XDP_DROP);
	}
	return verdict(NO_RULE, default_action);
}

SEC("xdp")
int xdp_firewall(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end, *at;
	struct ethhdr *eth = data;
	struct flow flow = {};
	struct flow_state *state, fresh = {};
	__u64 now = bpf_ktime_get_ns();
	__u32 *blocked, network = 0;
	int is_new = 0;
	__u16 proto;

	at = eth + 1;
	if (at > data_end)
		return verdict(BROKEN, XDP_DROP);
	proto = eth->h_proto;
#pragma clang loop unroll(full)
	for (int i = 0; i < VLANS; i++) {
		struct vlan_hdr *vlan = at;

		if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(vlan + 1) > data_end)
			return verdict(BROKEN, XDP_DROP);
		proto = vlan->proto;
		at = vlan + 1;
	}

	if (proto == bpf_htons(ETH_P_IP)) {
		struct network4 key = {.prefix = 32};
		struct iphdr *ip = at;

		if ((void *)(ip + 1) > data_end || ip->ihl < 5)
			return verdict(BROKEN, XDP_DROP);
		key.address = ip->saddr;
		blocked = bpf_map_lookup_elem(&networks4, &key);
		flow.source[3] = ip->saddr;
		flow.dest[3] = ip->daddr;
		flow.protocol = ip->protocol;
		if (ip->frag_off & bpf_htons(0x1fff))
			return verdict(FRAGMENT, XDP_DROP);
		at += ip->ihl * 4;
	} else if (proto == bpf_htons(ETH_P_IPV6)) {
		struct network6 key = {.prefix = 128};
		struct ipv6hdr *ip = at;

		if ((void *)(ip + 1) > data_end)
			return verdict(BROKEN, XDP_DROP);
		__builtin_memcpy(key.address, ip->saddr, sizeof(key.address));
		blocked = bpf_map_lookup_elem(&networks6, &key);
		__builtin_memcpy(flow.source, ip->saddr, sizeof(flow.source));
		__builtin_memcpy(flow.dest, ip->daddr, sizeof(flow.dest));
		flow.protocol = ip->nexthdr;
		at = skip_extensions(ip + 1, data_end, &flow.protocol);
		if (!at)
			return verdict(FRAGMENT, XDP_DROP);
	} else {
		return XDP_PASS;
	}
	if (blocked) {
		network = *blocked;
		if (network == BLOCKED)
			return verdict(BLOCKED_NETWORK, XDP_DROP);
	}

	if (flow.protocol == IPPROTO_TCP) {
		struct tcp_start *tcp = at;

		if ((void *)(tcp + 1) > data_end)
			return verdict(BROKEN, XDP_DROP);
		flow.source_port = tcp->source;
		flow.dest_port = tcp->dest;
		is_new = (tcp->flags & 0x12) == 0x02;
	} else if (flow.protocol == IPPROTO_UDP) {
		struct ports *ports = at;

		if ((void *)(ports + 1) > data_end)
			return verdict(BROKEN, XDP_DROP);
		flow.source_port = ports->source;
		flow.dest_port = ports->dest;
	} else if (flow.protocol != IPPROTO_ICMP && flow.protocol != IPPROTO_ICMPV6) {
		return verdict(NO_RULE, default_action);
	}

	state = bpf_map_lookup_elem(&flows, &flow);
	if (state && !is_new && now - state->seen_ns < flow_timeout_ns) {
		state->seen_ns = now;
		state->packets++;
		return verdict(KNOWN_FLOW, XDP_PASS);
	}
	if (apply_rules(&flow, network, is_new) != XDP_PASS)
		return XDP_DROP;
	fresh.seen_ns = now;
	fresh.packets = 1;
	bpf_map_update_elem(&flows, &flow, &fresh, BPF_ANY);
	return XDP_PASS;
}
