/* SPDX-License-Identifier: Apache-2.0 */
/* Headers parsed in xdp and tc programs; loops over packet bytes. */
#include "oracle.h"

struct eth {
	__u8 dst[6];
	__u8 src[6];
	__u16 proto;
} __attribute__((packed));

struct ip {
	__u8 ihl_version;
	__u8 tos;
	__u16 len;
	__u16 id;
	__u16 frag;
	__u8 ttl;
	__u8 proto;
	__u16 check;
	__u32 src;
	__u32 dst;
};

struct udp {
	__u16 src;
	__u16 dst;
	__u16 len;
	__u16 check;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u8[64]);
} bytes SEC(".maps");

#define start(ctx) ((void *)(long)(ctx)->data)
#define stop(ctx) ((void *)(long)(ctx)->data_end)

/* -------------------------------------------------------------------------------- headers */

SEC("xdp") __accept
int eth_checked(struct xdp_md *ctx)
{
	struct eth *eth = start(ctx);
	void *end = stop(ctx);

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	return eth->proto == bpf_htons(0x800) ? XDP_PASS : XDP_DROP;
}

SEC("xdp") __reject("offset is outside of the packet")
int eth_unchecked(struct xdp_md *ctx)
{
	struct eth *eth = start(ctx);

	return eth->proto == bpf_htons(0x800) ? XDP_PASS : XDP_DROP;
}

SEC("xdp") __reject("offset is outside of the packet")
int eth_checked_one_byte_short(struct xdp_md *ctx)
{
	struct eth *eth = start(ctx);
	void *end = stop(ctx);

	if ((void *)eth + sizeof(*eth) - 1 > end)
		return XDP_DROP;
	return eth->proto == bpf_htons(0x800) ? XDP_PASS : XDP_DROP;
}

SEC("xdp") __reject("offset is outside of the packet")
int eth_check_reversed(struct xdp_md *ctx)
{
	struct eth *eth = start(ctx);
	void *end = stop(ctx);

	if ((void *)(eth + 1) <= end)
		return XDP_DROP;
	return eth->proto == bpf_htons(0x800) ? XDP_PASS : XDP_DROP;
}

SEC("xdp") __accept
int ip_checked(struct xdp_md *ctx)
{
	struct eth *eth = start(ctx);
	void *end = stop(ctx);
	struct ip *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	return ip->ttl ? XDP_PASS : XDP_DROP;
}

SEC("xdp") __reject("offset is outside of the packet")
int ip_not_checked_after_eth(struct xdp_md *ctx)
{
	struct eth *eth = start(ctx);
	void *end = stop(ctx);
	struct ip *ip = (void *)(eth + 1);

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	return ip->ttl ? XDP_PASS : XDP_DROP;
}

SEC("xdp") __accept
int udp_after_options(struct xdp_md *ctx)
{
	struct eth *eth = start(ctx);
	void *end = stop(ctx);
	struct ip *ip = (void *)(eth + 1);
	struct udp *udp;

	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	udp = (void *)ip + (ip->ihl_version & 15) * 4;
	if ((void *)(udp + 1) > end)
		return XDP_DROP;
	return udp->dst == bpf_htons(53) ? XDP_DROP : XDP_PASS;
}

SEC("xdp") __reject("offset is outside of the packet")
int udp_after_options_unchecked(struct xdp_md *ctx)
{
	struct eth *eth = start(ctx);
	void *end = stop(ctx);
	struct ip *ip = (void *)(eth + 1);
	struct udp *udp;

	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	udp = (void *)ip + (ip->ihl_version & 15) * 4;
	return udp->dst == bpf_htons(53) ? XDP_DROP : XDP_PASS;
}

/* Where nobody knows how far it went, a check does not help. */
SEC("xdp") __reject("offset is outside of the packet")
int udp_after_any_distance(struct xdp_md *ctx)
{
	struct eth *eth = start(ctx);
	void *end = stop(ctx);
	struct ip *ip = (void *)(eth + 1);
	struct udp *udp;

	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	udp = (void *)ip + *(volatile __u32 *)&ip->src;
	if ((void *)(udp + 1) > end)
		return XDP_DROP;
	return udp->dst == bpf_htons(53) ? XDP_DROP : XDP_PASS;
}

SEC("xdp") __accept
int udp_after_16_bits(struct xdp_md *ctx)
{
	struct eth *eth = start(ctx);
	void *end = stop(ctx);
	struct ip *ip = (void *)(eth + 1);
	__u64 skip;
	struct udp *udp;

	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	skip = ip->len & 0x7fff;
	barrier_var(skip);
	udp = (void *)ip + (skip & 0x7fff);
	if ((void *)(udp + 1) > end)
		return XDP_DROP;
	return udp->dst == bpf_htons(53) ? XDP_DROP : XDP_PASS;
}

SEC("xdp") __accept
int write_checked(struct xdp_md *ctx)
{
	struct eth *eth = start(ctx);
	void *end = stop(ctx);

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	eth->dst[5] = 1;
	return XDP_TX;
}

SEC("xdp") __reject("offset is outside of the packet")
int write_past_check(struct xdp_md *ctx)
{
	struct eth *eth = start(ctx);
	void *end = stop(ctx);

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	((volatile __u8 *)eth)[14] = 1;
	return XDP_TX;
}

SEC("xdp") __reject("offset is outside of the packet")
int write_before_start(struct xdp_md *ctx)
{
	struct eth *eth = start(ctx);
	void *end = stop(ctx);

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	((volatile __u8 *)eth)[-1] = 1;
	return XDP_TX;
}

SEC("xdp") __reject("invalid mem access 'pkt_end'")
int read_at_end_pointer(struct xdp_md *ctx)
{
	volatile __u8 *end = stop(ctx);

	return *end;
}

SEC("xdp") __accept
int size_of_packet(struct xdp_md *ctx)
{
	__u64 len = stop(ctx) - start(ctx);

	return len > 100 ? XDP_DROP : XDP_PASS;
}

/* A length is a number: comparing it proves nothing of the pointers. */
SEC("xdp") __reject("offset is outside of the packet")
int checked_by_length(struct xdp_md *ctx)
{
	volatile __u8 *data = start(ctx);
	__u64 len = stop(ctx) - start(ctx);

	if (len < 14)
		return XDP_DROP;
	return data[0] ? XDP_DROP : XDP_PASS;
}

SEC("xdp") __accept
int metadata_checked(struct xdp_md *ctx)
{
	__u32 *meta = (void *)(long)ctx->data_meta;
	void *data = start(ctx);

	if ((void *)(meta + 1) > data)
		return XDP_PASS;
	return *meta ? XDP_DROP : XDP_PASS;
}

SEC("xdp") __reject("offset is outside of the packet")
int metadata_checked_against_end(struct xdp_md *ctx)
{
	__u32 *meta = (void *)(long)ctx->data_meta;
	void *end = stop(ctx);

	if ((void *)(meta + 1) > end)
		return XDP_PASS;
	return *meta ? XDP_DROP : XDP_PASS;
}

SEC("xdp") __accept
int checked_again_after_adjust(struct xdp_md *ctx)
{
	volatile __u8 *data;

	if (bpf_xdp_adjust_head(ctx, 14))
		return XDP_DROP;
	data = start(ctx);
	if ((void *)data + 1 > stop(ctx))
		return XDP_DROP;
	return data[0] ? XDP_DROP : XDP_PASS;
}

SEC("xdp") __reject("invalid mem access 'scalar'")
int checked_before_adjust(struct xdp_md *ctx)
{
	volatile __u8 *data = start(ctx);

	if ((void *)data + 1 > stop(ctx))
		return XDP_DROP;
	if (bpf_xdp_adjust_head(ctx, 14))
		return XDP_DROP;
	return data[0] ? XDP_DROP : XDP_PASS;
}

SEC("xdp") __accept
int checked_before_harmless_helper(struct xdp_md *ctx)
{
	volatile __u8 *data = start(ctx);

	if ((void *)data + 1 > stop(ctx))
		return XDP_DROP;
	bpf_get_prandom_u32();
	return data[0] ? XDP_DROP : XDP_PASS;
}

/* ------------------------------------------------------------------------------------ tc */

SEC("tc") __accept
int tc_checked(struct __sk_buff *ctx)
{
	struct eth *eth = start(ctx);

	if ((void *)(eth + 1) > stop(ctx))
		return TC_ACT_OK;
	return eth->proto == bpf_htons(0x800) ? TC_ACT_OK : TC_ACT_SHOT;
}

SEC("tc") __accept
int tc_written(struct __sk_buff *ctx)
{
	struct eth *eth = start(ctx);

	if ((void *)(eth + 1) > stop(ctx))
		return TC_ACT_OK;
	eth->src[0] = 2;
	return TC_ACT_OK;
}

SEC("cgroup_skb/egress") __accept
int cgroup_skb_read(struct __sk_buff *ctx)
{
	struct ip *ip = start(ctx);

	if ((void *)(ip + 1) > stop(ctx))
		return 1;
	return ip->ttl > 1;
}

SEC("cgroup_skb/egress") __reject("cannot write into packet")
int cgroup_skb_written(struct __sk_buff *ctx)
{
	struct ip *ip = start(ctx);

	if ((void *)(ip + 1) > stop(ctx))
		return 1;
	ip->ttl = 1;
	return 1;
}

SEC("socket") __reject("invalid bpf_context access")
int socket_filter_reads_packet(struct __sk_buff *ctx)
{
	struct eth *eth = start(ctx);

	if ((void *)(eth + 1) > stop(ctx))
		return 0;
	return eth->proto;
}

SEC("socket") __accept
int socket_filter_loads_bytes(struct __sk_buff *ctx)
{
	struct eth eth;

	if (bpf_skb_load_bytes(ctx, 0, &eth, sizeof(eth)))
		return 0;
	return eth.proto;
}

SEC("tc") __reject("invalid mem access 'scalar'")
int tc_checked_before_pull(struct __sk_buff *ctx)
{
	struct eth *eth = start(ctx);

	if ((void *)(eth + 1) > stop(ctx))
		return TC_ACT_OK;
	bpf_skb_pull_data(ctx, 64);
	return eth->proto == bpf_htons(0x800) ? TC_ACT_OK : TC_ACT_SHOT;
}

SEC("tc") __accept
int tc_checked_after_pull(struct __sk_buff *ctx)
{
	struct eth *eth;

	bpf_skb_pull_data(ctx, 64);
	eth = start(ctx);
	if ((void *)(eth + 1) > stop(ctx))
		return TC_ACT_OK;
	return eth->proto == bpf_htons(0x800) ? TC_ACT_OK : TC_ACT_SHOT;
}

SEC("tc") __accept
int tc_key_from_packet(struct __sk_buff *ctx)
{
	struct ip *ip = start(ctx) + sizeof(struct eth);

	if ((void *)(ip + 1) > stop(ctx))
		return TC_ACT_OK;
	return bpf_map_lookup_elem(&bytes, &ip->src) ? TC_ACT_OK : TC_ACT_SHOT;
}

SEC("tc") __reject("offset is outside of the packet")
int tc_key_from_packet_unchecked(struct __sk_buff *ctx)
{
	struct ip *ip = start(ctx) + sizeof(struct eth);

	return bpf_map_lookup_elem(&bytes, &ip->src) ? TC_ACT_OK : TC_ACT_SHOT;
}

SEC("tc") __reject("pointer arithmetic on pkt_end prohibited")
int tc_end_moved(struct __sk_buff *ctx)
{
	volatile __u8 *data = start(ctx);
	void *end = stop(ctx);

	end += 8;
	barrier_var(end);
	if ((void *)data + 1 > end)
		return TC_ACT_OK;
	return data[0];
}

/* --------------------------------------------------------------------------------- loops */

SEC("xdp") __accept
int sum_of_first_64(struct xdp_md *ctx)
{
	volatile __u8 *data = start(ctx);
	__u64 sum = 0;

	if ((void *)data + 64 > stop(ctx))
		return XDP_PASS;
	_Pragma("clang loop unroll(disable)")
	for (int i = 0; i < 64; i++)
		sum += data[i];
	return sum & 1 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") __reject("offset is outside of the packet")
int sum_of_first_65(struct xdp_md *ctx)
{
	volatile __u8 *data = start(ctx);
	__u64 sum = 0;

	if ((void *)data + 64 > stop(ctx))
		return XDP_PASS;
	_Pragma("clang loop unroll(disable)")
	for (int i = 0; i < 65; i++)
		sum += data[i];
	return sum & 1 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") __accept
int sum_checked_each_turn(struct xdp_md *ctx)
{
	volatile __u8 *data = start(ctx);
	void *end = stop(ctx);
	__u64 sum = 0;

	_Pragma("clang loop unroll(disable)")
	for (int i = 0; i < 64; i++) {
		if ((void *)data + 1 > end)
			break;
		sum += *data++;
	}
	return sum & 1 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") __reject("offset is outside of the packet")
int sum_checked_after_each_turn(struct xdp_md *ctx)
{
	volatile __u8 *data = start(ctx);
	void *end = stop(ctx);
	__u64 sum = 0;

	_Pragma("clang loop unroll(disable)")
	for (int i = 0; i < 64; i++) {
		sum += *data++;
		if ((void *)data + 1 > end)
			break;
	}
	return sum & 1 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") __accept
int sum_at_index(struct xdp_md *ctx)
{
	void *data = start(ctx), *end = stop(ctx);
	__u64 sum = 0;

	_Pragma("clang loop unroll(disable)")
	for (__u32 i = 0; i < 64; i++) {
		volatile __u8 *at = data + i;

		if ((void *)at + 1 > end)
			break;
		sum += *at;
	}
	return sum & 1 ? XDP_DROP : XDP_PASS;
}

SEC("xdp") __accept
int copied_to_map(struct xdp_md *ctx)
{
	volatile __u8 *data = start(ctx);
	__u32 key = 0;
	__u8 *to = bpf_map_lookup_elem(&bytes, &key);

	if (!to || (void *)data + 32 > stop(ctx))
		return XDP_PASS;
	_Pragma("clang loop unroll(disable)")
	for (int i = 0; i < 32; i++)
		to[i] = data[i];
	return XDP_PASS;
}

SEC("xdp") __reject("min value is outside of the allowed memory range")
int copied_to_map_too_much(struct xdp_md *ctx)
{
	volatile __u8 *data = start(ctx);
	__u32 key = 0;
	__u8 *to = bpf_map_lookup_elem(&bytes, &key);

	if (!to || (void *)data + 128 > stop(ctx))
		return XDP_PASS;
	_Pragma("clang loop unroll(disable)")
	for (int i = 0; i < 65; i++)
		to[i] = data[i];
	return XDP_PASS;
}

static __noinline int first_byte(struct xdp_md *ctx)
{
	volatile __u8 *data = start(ctx);

	if ((void *)data + 1 > stop(ctx))
		return 0;
	return data[0];
}

SEC("xdp") __accept
int read_in_function(struct xdp_md *ctx)
{
	return first_byte(ctx) ? XDP_DROP : XDP_PASS;
}

static __noinline int byte_at(volatile __u8 *data, __u32 at)
{
	return data[at];
}

SEC("xdp") __accept
int checked_by_caller(struct xdp_md *ctx)
{
	volatile __u8 *data = start(ctx);

	if ((void *)data + 16 > stop(ctx))
		return XDP_PASS;
	return byte_at(data, 15) ? XDP_DROP : XDP_PASS;
}

SEC("xdp") __reject("offset is outside of the packet")
int checked_too_little_by_caller(struct xdp_md *ctx)
{
	volatile __u8 *data = start(ctx);

	if ((void *)data + 16 > stop(ctx))
		return XDP_PASS;
	return byte_at(data, 16) ? XDP_DROP : XDP_PASS;
}

SEC("xdp") __accept
int vlan_tags(struct xdp_md *ctx)
{
	void *data = start(ctx), *end = stop(ctx);
	struct eth *eth = data;
	__u16 proto;
	__u64 off = sizeof(*eth);

	if (data + off > end)
		return XDP_PASS;
	proto = eth->proto;
	_Pragma("clang loop unroll(disable)")
	for (int i = 0; i < 2; i++) {
		if (proto != bpf_htons(0x8100))
			break;
		if (data + off + 4 > end)
			return XDP_PASS;
		proto = *(volatile __u16 *)(data + off + 2);
		off += 4;
	}
	return proto == bpf_htons(0x800) ? XDP_PASS : XDP_DROP;
}

/* Known to end before is something else than not known to go on. */
SEC("tc") __reject("invalid mem access 'scalar'")
int beyond_is_not_unknown(struct __sk_buff *ctx)
{
	int ret;

	asm volatile("r2 = *(u32 *)(%[ctx] + 80)\n\t"
		     "r3 = *(u32 *)(%[ctx] + 76)\n\t"
		     "r5 = r3\n\t"
		     "if r5 <= r2 goto 1f\n\t"
		     "goto 1f\n"
		     "1:\n\t"
		     "if r2 < r5 goto 2f\n\t"
		     "r3 = 0\n\t"
		     "r0 = *(u32 *)(r3 + 8)\n"
		     "2:\n\t"
		     "%[ret] = 0"
		     : [ret] "=r"(ret) : [ctx] "r"(ctx) : "r0", "r2", "r3", "r5");
	return ret;
}
