/* SPDX-License-Identifier: Apache-2.0 */
/* Answers floods of SYN packets in the kernel's place: counts, reads options, makes cookies. */
#include "corpus.h"

#define OPTIONS 12
#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_MSS 2
#define OPTION_WINDOW 3
#define OPTION_SACK 4
#define OPTION_TIMESTAMP 8
#define SYN 0x02
#define RST 0x04
#define ACK 0x10

struct tcphdr {
	__u16 source;
	__u16 dest;
	__u32 seq;
	__u32 ack_seq;
	__u8 reserved : 4, doff : 4;
	__u8 flags;
	__u16 window;
	__u16 check;
	__u16 urg_ptr;
};

struct options {
	__u32 timestamp;
	__u16 mss;
	__u8 window;
	__u8 sack;
};

struct source {
	__u64 since_ns;
	__u32 syns;
	__u32 acks;
	__u32 trusted;
	__u32 pad;
};

struct totals {
	__u64 syns;
	__u64 answered;
	__u64 confirmed;
	__u64 refused;
	__u64 passed;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, __u32);
	__type(value, struct source);
} sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct totals);
} totals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u16);
	__type(value, __u32);
} guarded SEC(".maps");

const volatile __u32 syns_per_second = 64;
const volatile __u64 secrets[2] = {0x736f6d6570736575ULL, 0x646f72616e646f6dULL};
/* What fits into three bits of a cookie. */
const volatile __u16 sizes[8] = {536, 1220, 1300, 1360, 1400, 1440, 1452, 1460};

static __always_inline __u64 rotate(__u64 v, int by)
{
	return v << by | v >> (64 - by);
}

/* SipHash with fewer rounds, of two words. */
static __always_inline __u32 keyed_hash(__u64 first, __u64 second)
{
	__u64 v0 = secrets[0], v1 = secrets[1], v2 = v0 ^ 0x6c7967656e657261ULL, v3 = v1 ^ first;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 6; i++) {
		v0 += v1;
		v2 += v3;
		v1 = rotate(v1, 13) ^ v0;
		v3 = rotate(v3, 16) ^ v2;
		v0 = rotate(v0, 32) + v3;
		v2 += v1;
		v3 = rotate(v3, 21) ^ v0;
		v1 = rotate(v1, 17) ^ v2;
		v2 = rotate(v2, 32);
		if (i == 2) {
			v0 ^= first;
			v3 ^= second;
		}
	}
	return v0 ^ v1 ^ v2 ^ v3;
}

static __always_inline __u32 size_slot(__u16 mss)
{
	__u32 slot = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 1; i < 8; i++)
		if (sizes[i] <= mss)
			slot = i;
	return slot;
}

static __always_inline __u32 cookie(struct iphdr *ip, struct tcphdr *tcp, __u32 seq, __u32 minute)
{
	__u64 first = (__u64)ip->saddr << 32 | ip->daddr;
	__u64 second = (__u64)tcp->source << 48 | (__u64)tcp->dest << 32 | (seq ^ minute);

	return keyed_hash(first, second) & 0x07ffffff;
}

/* Options are read byte by byte, since nobody knows where one begins. */
static __always_inline int read_options(struct xdp_md *ctx, __u32 offset, __u32 length,
					struct options *found)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < OPTIONS; i++) {
		__u8 head[2], body[8];

		if (length < 1 || length > 40)
			return 0;
		if (bpf_xdp_load_bytes(ctx, offset, head, 1))
			return -1;
		if (head[0] == OPTION_END)
			return 0;
		if (head[0] == OPTION_NOP) {
			offset++;
			length--;
			continue;
		}
		if (length < 2 || bpf_xdp_load_bytes(ctx, offset + 1, head + 1, 1))
			return -1;
		if (head[1] < 2 || head[1] > length)
			return -1;
		if (head[0] == OPTION_MSS && head[1] == 4) {
			if (bpf_xdp_load_bytes(ctx, offset + 2, body, 2))
				return -1;
			found->mss = body[0] << 8 | body[1];
		} else if (head[0] == OPTION_WINDOW && head[1] == 3) {
			if (bpf_xdp_load_bytes(ctx, offset + 2, &found->window, 1))
				return -1;
		} else if (head[0] == OPTION_TIMESTAMP && head[1] == 10) {
			if (bpf_xdp_load_bytes(ctx, offset + 2, &found->timestamp, 4))
				return -1;
		}
		offset += head[1];
		length -= head[1];
	}
	return 0;
}

static __always_inline __u16 fold(__u64 sum)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < 4; i++)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline __u16 tcp_checksum(struct iphdr *ip, struct tcphdr *tcp)
{
	__u32 pseudo[3] = {ip->saddr, ip->daddr, bpf_htonl(IPPROTO_TCP << 16 | sizeof(*tcp))};
	__s64 sum = bpf_csum_diff(0, 0, pseudo, sizeof(pseudo), 0);

	return fold(bpf_csum_diff(0, 0, (void *)tcp, sizeof(*tcp), sum));
}

/* Makes the answer of the SYN, in its place. */
static __always_inline int answer(struct xdp_md *ctx, struct options *options, __u32 minute)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	__u32 seq, slot = size_slot(options->mss);
	int longer = data_end - data - (sizeof(*eth) + sizeof(*ip) + sizeof(*tcp));
	__u8 mac[6];

	if ((void *)(tcp + 1) > data_end)
		return XDP_DROP;
	seq = bpf_ntohl(tcp->seq);
	seq = cookie(ip, tcp, seq, minute) | slot << 27 | (minute & 3) << 30;
	__builtin_memcpy(mac, eth->h_source, sizeof(mac));
	__builtin_memcpy(eth->h_source, eth->h_dest, sizeof(mac));
	__builtin_memcpy(eth->h_dest, mac, sizeof(mac));
	ip->saddr ^= ip->daddr;
	ip->daddr ^= ip->saddr;
	ip->saddr ^= ip->daddr;
	ip->tot_len = bpf_htons(sizeof(*ip) + sizeof(*tcp));
	ip->ttl = 64;
	ip->check = 0;
	ip->check = fold(bpf_csum_diff(0, 0, (void *)ip, sizeof(*ip), 0));
	tcp->source ^= tcp->dest;
	tcp->dest ^= tcp->source;
	tcp->source ^= tcp->dest;
	tcp->ack_seq = bpf_htonl(bpf_ntohl(tcp->seq) + 1);
	tcp->seq = bpf_htonl(seq);
	tcp->doff = 5;
	tcp->flags = SYN | ACK;
	tcp->window = 0;
	tcp->check = 0;
	tcp->check = tcp_checksum(ip, tcp);
	if (bpf_xdp_adjust_tail(ctx, -longer))
		return XDP_DROP;
	return XDP_TX;
}

static __always_inline int is_confirmed(struct iphdr *ip, struct tcphdr *tcp, __u32 minute)
{
	__u32 sent = bpf_ntohl(tcp->ack_seq) - 1, seq = bpf_ntohl(tcp->seq) - 1;

#pragma clang loop unroll(disable)
	for (__u32 age = 0; age < 3; age++)
		if ((sent & 0x07ffffff) == cookie(ip, tcp, seq, minute - age))
			return 1;
	return 0;
}

SEC("xdp")
int syn_guard(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	__u64 now = bpf_ktime_get_ns();
	__u32 key = 0, address, minute = now / 60000000000ULL, header;
	struct totals *sum = bpf_map_lookup_elem(&totals, &key);
	struct source *source, fresh = {.since_ns = now};
	struct options options = {.mss = 536};
	__u16 port;

	if (!sum || (void *)(tcp + 1) > data_end)
		return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5 || ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	port = tcp->dest;
	if (!bpf_map_lookup_elem(&guarded, &port))
		return XDP_PASS;
	address = ip->saddr;
	source = bpf_map_lookup_elem(&sources, &address);
	if (!source) {
		bpf_map_update_elem(&sources, &address, &fresh, BPF_NOEXIST);
		source = bpf_map_lookup_elem(&sources, &address);
		if (!source)
			return XDP_PASS;
	}
	if (now - source->since_ns > 1000000000) {
		source->since_ns = now;
		source->syns = 0;
	}
	if ((tcp->flags & (SYN | ACK | RST)) == SYN) {
		sum->syns++;
		__sync_fetch_and_add(&source->syns, 1);
		if (source->trusted || source->syns < syns_per_second)
			return XDP_PASS;
		header = tcp->doff * 4;
		if (header < sizeof(*tcp))
			goto refuse;
		if (read_options(ctx, sizeof(*eth) + sizeof(*ip) + sizeof(*tcp),
				 header - sizeof(*tcp), &options))
			goto refuse;
		sum->answered++;
		return answer(ctx, &options, minute);
	}
	if ((tcp->flags & (SYN | ACK | RST)) == ACK && !source->trusted) {
		__sync_fetch_and_add(&source->acks, 1);
		if (source->syns < syns_per_second)
			return XDP_PASS;
		if (!is_confirmed(ip, tcp, minute))
			goto refuse;
		source->trusted = 1;
		sum->confirmed++;
	}
	sum->passed++;
	return XDP_PASS;
refuse:
	sum->refused++;
	return XDP_DROP;
}
