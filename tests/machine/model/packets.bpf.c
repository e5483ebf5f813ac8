/* What packets look like and what becomes of them: see test_model_packets.py. */
#include <bpfheap.h>

#define DATA(ctx) ((__u8 *)(long)(ctx)->data)
#define END(ctx) ((__u8 *)(long)(ctx)->data_end)
#define META(ctx) ((__u8 *)(long)(ctx)->data_meta)

SEC("xdp") int xdp_sum(struct xdp_md *ctx)
{
	__u8 *at = DATA(ctx), *end = END(ctx);
	int i, sum = end - at;

	if (META(ctx) == at)
		sum += 1000000;
	for (i = 0; i < 20; i++) {
		if (at + i + 1 > end)
			break;
		sum += at[i] * 100;
		at[i]++;
	}
	return sum;
}

#define ADJUSTED(part, name, by)                                                              \
	SEC("xdp") int xdp_##part##_##name(struct xdp_md *ctx)                                 \
	{                                                                                     \
		long error = bpf_xdp_adjust_##part(ctx, by);                                  \
		__u8 *at = DATA(ctx), *end = END(ctx), *meta = META(ctx);                     \
		int result = -error * 100000 + (int)(end - at);                               \
                                                                                              \
		if (at + 1 <= end)                                                            \
			at[0] = 0xab;                                                         \
		if (meta + 4 <= at) {                                                         \
			*(__u32 *)meta = 7;                                                   \
			result += 10000;                                                      \
		}                                                                             \
		return result;                                                                \
	}

ADJUSTED(head, forward, 4)
ADJUSTED(head, back, -6)
ADJUSTED(head, far_back, -216)
ADJUSTED(head, too_far_back, -217)
ADJUSTED(head, past_the_end, 60)
ADJUSTED(tail, shorter, -3)
ADJUSTED(tail, longer, 8)
ADJUSTED(tail, too_short, -60)
ADJUSTED(tail, all_of_it, 3488)
ADJUSTED(meta, some, -8)
ADJUSTED(meta, odd, -6)
ADJUSTED(meta, much, -216)
ADJUSTED(meta, too_much, -220)
ADJUSTED(meta, behind, 4)

SEC("xdp") int xdp_meta_and_head(struct xdp_md *ctx)
{
	long errors = bpf_xdp_adjust_meta(ctx, -200);
	__u32 *meta = (__u32 *)META(ctx);

	if ((__u8 *)(meta + 1) <= DATA(ctx))
		*meta = 0x01020304;
	errors += bpf_xdp_adjust_head(ctx, -17) * 100;
	errors += bpf_xdp_adjust_head(ctx, -16) * 10000;
	meta = (__u32 *)META(ctx);
	if ((__u8 *)(meta + 1) <= DATA(ctx))
		errors += *meta;
	return errors;
}

#define SKB(section, name)                                                                    \
	SEC(#section) int name(struct __sk_buff *skb)                                         \
	{                                                                                     \
		__u8 *at = DATA(skb), *end = END(skb);                                        \
		int sum = skb->len * 100 + skb->protocol;                                     \
                                                                                              \
		if (at + 2 <= end)                                                            \
			sum += at[0] + at[1];                                                 \
		return sum + (int)(end - at == skb->len);                                     \
	}

SKB(tc, tc_look)

SEC("cgroup_skb/ingress") int cgroup_look(struct __sk_buff *skb)
{
	__u8 *at = DATA(skb), *end = END(skb);

	return at + 2 <= end && at[0] == 15 && end - at == skb->len && skb->protocol == 0x0e0d;
}

SEC("socket") int socket_load(struct __sk_buff *skb)
{
	__u8 there[4] = {}, beyond[4] = { 1, 2, 3, 4 };
	int result = bpf_skb_load_bytes(skb, 2, there, 4) ? 10000 : 0;

	result += bpf_skb_load_bytes(skb, skb->len - 3, beyond, 4) == -14 ? 20000 : 0;
	return result + there[0] + beyond[0] + skb->len * 100;
}

SEC("tc") int tc_store(struct __sk_buff *skb)
{
	__u8 bytes[4] = { 0xaa, 0xbb, 0xcc, 0xdd };
	int result = -bpf_skb_store_bytes(skb, 3, bytes, 4, 0);

	result += -bpf_skb_store_bytes(skb, skb->len - 3, bytes, 4, 0) * 100;
	result += -bpf_skb_store_bytes(skb, 0, bytes, 1, 8) * 10000;
	result += -bpf_skb_pull_data(skb, skb->len + 1) * 1000000;
	return result + bpf_skb_pull_data(skb, 0);
}

SEC("tc") int tc_write(struct __sk_buff *skb)
{
	__u8 *at = DATA(skb), *end = END(skb);

	if (at + 14 > end)
		return -1;
	*(__u16 *)(at + 12) = 0x0608;
	return META(skb) == at;
}

char LICENSE[] SEC("license") = "GPL";
