/* SPDX-License-Identifier: Apache-2.0 */
/* Limits what a control group sends: buckets of tokens, for the network, the port and the group. */
#include "corpus.h"

#define CLASSES 12
#define PREFIXES 4
#define IPPROTO_ICMP 1

struct bucket {
	struct bpf_spin_lock lock;
	__u32 rate;
	__u64 tokens;
	__u64 burst;
	__u64 filled_ns;
	__u64 dropped;
};

struct bucket_key {
	__u32 kind;
	__u32 prefix;
	__u64 id;
};

struct class {
	__u16 first_port;
	__u16 last_port;
	__u8 protocol;
	__u8 dscp;
	__u16 share;
	__u32 priority;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct bucket_key);
	__type(value, struct bucket);
} buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CLASSES);
	__type(key, __u32);
	__type(value, struct class);
} classes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 3 * (CLASSES + 1));
	__type(key, __u32);
	__type(value, __u64);
} bytes_by_class SEC(".maps");

enum kind { BY_CGROUP, BY_NETWORK, BY_CLASS };
enum color { GREEN, YELLOW, RED };

const volatile __u32 prefixes[PREFIXES] = {32, 24, 16, 8};
const volatile __u32 levels = 3;

/* Takes tokens from a bucket, and nothing if there are too few. */
static __noinline int take(struct bucket *bucket, __u32 bytes, __u64 now)
{
	__u64 elapsed, tokens;
	int color = GREEN;

	if (!bucket)
		return GREEN;
	bpf_spin_lock(&bucket->lock);
	elapsed = now - bucket->filled_ns;
	if (elapsed > 1000000000)
		elapsed = 1000000000;
	tokens = bucket->tokens + (elapsed >> 10) * bucket->rate / 1024;
	if (tokens > bucket->burst)
		tokens = bucket->burst;
	bucket->filled_ns = now;
	if (tokens < bytes) {
		bucket->dropped++;
		color = RED;
	} else {
		tokens -= bytes;
		if (tokens < bucket->burst / 8)
			color = YELLOW;
	}
	bucket->tokens = tokens;
	bpf_spin_unlock(&bucket->lock);
	return color;
}

static __always_inline struct bucket *bucket_of(__u32 kind, __u32 prefix, __u64 id)
{
	struct bucket_key key = {.kind = kind, .prefix = prefix, .id = id};

	return bpf_map_lookup_elem(&buckets, &key);
}

static __always_inline __u32 class_of(__u32 protocol, __u32 port, __u32 tos)
{
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < CLASSES; i++) {
		__u32 key = i;
		struct class *class = bpf_map_lookup_elem(&classes, &key);

		if (!class || !class->last_port)
			break;
		if (class->protocol && class->protocol != protocol)
			continue;
		if (class->dscp && class->dscp != tos >> 2)
			continue;
		if (port < class->first_port || port > class->last_port)
			continue;
		return class->priority < CLASSES ? class->priority : CLASSES;
	}
	return CLASSES;
}

static __always_inline void account(__u32 class, int color, __u32 bytes)
{
	__u32 key = class * 3 + color;
	__u64 *sum = bpf_map_lookup_elem(&bytes_by_class, &key);

	if (sum)
		*sum += bytes;
}

static __always_inline int limit(struct __sk_buff *skb, int egress)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 cgroup = bpf_skb_cgroup_id(skb);
	__u32 class, remote, port = 0, bytes = skb->len;
	struct ports ports = {};
	int color = GREEN, next;
	struct iphdr ip;

	if (skb->protocol != bpf_htons(ETH_P_IP) || bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return 1;
	if (ip.ihl < 5)
		return 0;
	if (ip.protocol == IPPROTO_TCP || ip.protocol == IPPROTO_UDP) {
		if (bpf_skb_load_bytes(skb, ip.ihl * 4, &ports, sizeof(ports)))
			return 0;
		port = bpf_ntohs(egress ? ports.dest : ports.source);
	} else if (ip.protocol == IPPROTO_ICMP) {
		bytes *= 4;
	}
	remote = bpf_ntohl(egress ? ip.daddr : ip.saddr);
	class = class_of(ip.protocol, port, ip.tos);

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < PREFIXES; i++) {
		__u32 prefix = prefixes[i];
		struct bucket *bucket = bucket_of(BY_NETWORK, prefix, remote >> (32 - prefix));

		if (!bucket)
			continue;
		next = take(bucket, bytes, now);
		if (next > color)
			color = next;
		if (color == RED)
			goto out;
	}
#pragma clang loop unroll(disable)
	for (__u32 level = 1; level <= levels; level++) {
		__u64 id = bpf_skb_ancestor_cgroup_id(skb, level);

		if (!id)
			break;
		next = take(bucket_of(BY_CGROUP, level, id), bytes, now);
		if (next > color)
			color = next;
		if (color == RED)
			goto out;
	}
	next = take(bucket_of(BY_CLASS, class, cgroup), bytes, now);
	if (next > color)
		color = next;
out:
	account(class, color, skb->len);
	if (color == YELLOW)
		bpf_skb_ecn_set_ce(skb);
	return color != RED;
}

SEC("cgroup_skb/egress")
int rate_limits_egress(struct __sk_buff *skb)
{
	return limit(skb, 1);
}

SEC("cgroup_skb/ingress")
int rate_limits_ingress(struct __sk_buff *skb)
{
	return limit(skb, 0);
}
