/* SPDX-License-Identifier: Apache-2.0 */
/* Where may a control group's processes connect to? Networks, ports, proxies in between. */
#include "corpus.h"

#define PORT_RANGES 24
#define PROXIES 8
#define IPPROTO_ANY 0

struct network4 {
	__u32 prefix;
	__u32 address;
};

struct network6 {
	__u32 prefix;
	__u32 address[4];
};

struct network_policy {
	__u32 allow;
	__u32 ranges;
	__u32 redirect;
	__u64 hits;
};

struct port_range {
	__u16 first;
	__u16 last;
	__u8 protocol;
	__u8 deny;
	__u16 group;
};

struct proxy {
	__u32 address[4];
	__u32 port;
	__u32 weight;
};

struct original {
	__u32 address[4];
	__u32 port;
	__u32 family;
	__u64 ts_ns;
};

struct refused_event {
	__u64 cookie;
	__u64 cgroup;
	__u32 pid;
	__u32 port;
	__u32 family;
	__u32 address[4];
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct network4);
	__type(value, struct network_policy);
} networks4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct network6);
	__type(value, struct network_policy);
} networks6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PORT_RANGES);
	__type(key, __u32);
	__type(value, struct port_range);
} ranges SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PROXIES);
	__type(key, __u32);
	__type(value, struct proxy);
} proxies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct original);
} originals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} refused SEC(".maps");

const volatile __u32 allow_unknown = 0;

/* The first range that a port is in decides. */
static __always_inline int may_port(__u32 port, __u32 protocol, __u32 group)
{
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < PORT_RANGES; i++) {
		__u32 key = i;
		struct port_range *range = bpf_map_lookup_elem(&ranges, &key);

		if (!range || !range->last)
			break;
		if (range->group != group)
			continue;
		if (range->protocol != IPPROTO_ANY && range->protocol != protocol)
			continue;
		if (port >= range->first && port <= range->last)
			return !range->deny;
	}
	return 0;
}

/* By weight: the heavier a proxy is, the more of the cookies are its own. */
static __always_inline struct proxy *proxy_for(__u64 cookie)
{
	__u32 best = 0;
	struct proxy *found = NULL;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < PROXIES; i++) {
		__u32 key = i, score = (__u32)cookie ^ (i * 0x9e3779b9u);
		struct proxy *proxy = bpf_map_lookup_elem(&proxies, &key);

		if (!proxy || !proxy->port)
			break;
		score = (score ^ (score >> 15)) * 0x85ebca6bu;
		score = ((score ^ (score >> 13)) >> 8) * proxy->weight;
		if (!found || score > best) {
			best = score;
			found = proxy;
		}
	}
	return found;
}

static __always_inline int refuse(struct bpf_sock_addr *ctx, struct original *wanted)
{
	struct refused_event event = {
		.cookie = bpf_get_socket_cookie(ctx),
		.cgroup = bpf_get_current_cgroup_id(),
		.pid = bpf_get_current_pid_tgid() >> 32,
		.port = wanted->port,
		.family = wanted->family,
	};

	__builtin_memcpy(event.address, wanted->address, sizeof(event.address));
	bpf_get_current_comm(event.comm, sizeof(event.comm));
	bpf_perf_event_output(ctx, &refused, BPF_F_CURRENT_CPU, &event, sizeof(event));
	return 0;
}

SEC("cgroup/connect4")
int egress_policy4(struct bpf_sock_addr *ctx)
{
	struct network4 key = {.prefix = 32, .address = ctx->user_ip4};
	struct network_policy *policy = bpf_map_lookup_elem(&networks4, &key);
	__u32 port = bpf_ntohs(ctx->user_port);
	struct original wanted = {.port = port, .family = 2, .ts_ns = bpf_ktime_get_ns()};
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct proxy *proxy;

	wanted.address[0] = key.address;
	if (!policy)
		return allow_unknown ? 1 : refuse(ctx, &wanted);
	__sync_fetch_and_add(&policy->hits, 1);
	if (!policy->allow || !may_port(port, ctx->protocol, policy->ranges))
		return refuse(ctx, &wanted);
	if (!policy->redirect || ctx->protocol != IPPROTO_TCP)
		return 1;
	proxy = proxy_for(cookie);
	if (!proxy)
		return refuse(ctx, &wanted);
	bpf_map_update_elem(&originals, &cookie, &wanted, BPF_ANY);
	ctx->user_ip4 = proxy->address[0];
	ctx->user_port = bpf_htons(proxy->port);
	return 1;
}

SEC("cgroup/connect6")
int egress_policy6(struct bpf_sock_addr *ctx)
{
	struct network6 key = {.prefix = 128};
	struct network_policy *policy;
	__u32 port = bpf_ntohs(ctx->user_port);
	struct original wanted = {.port = port, .family = 10, .ts_ns = bpf_ktime_get_ns()};
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct proxy *proxy;

	key.address[0] = wanted.address[0] = ctx->user_ip6[0];
	key.address[1] = wanted.address[1] = ctx->user_ip6[1];
	key.address[2] = wanted.address[2] = ctx->user_ip6[2];
	key.address[3] = wanted.address[3] = ctx->user_ip6[3];
	if (!key.address[0] && !key.address[1] && key.address[2] == bpf_htonl(0xffff)) {
		/* An IPv4 address in disguise. */
		struct network4 mapped = {.prefix = 32, .address = key.address[3]};

		policy = bpf_map_lookup_elem(&networks4, &mapped);
	} else {
		policy = bpf_map_lookup_elem(&networks6, &key);
	}
	if (!policy)
		return allow_unknown ? 1 : refuse(ctx, &wanted);
	__sync_fetch_and_add(&policy->hits, 1);
	if (!policy->allow || !may_port(port, ctx->protocol, policy->ranges))
		return refuse(ctx, &wanted);
	if (!policy->redirect || ctx->protocol != IPPROTO_TCP)
		return 1;
	proxy = proxy_for(cookie);
	if (!proxy)
		return refuse(ctx, &wanted);
	bpf_map_update_elem(&originals, &cookie, &wanted, BPF_ANY);
	ctx->user_ip6[0] = proxy->address[0];
	ctx->user_ip6[1] = proxy->address[1];
	ctx->user_ip6[2] = proxy->address[2];
	ctx->user_ip6[3] = proxy->address[3];
	ctx->user_port = bpf_htons(proxy->port);
	return 1;
}
