/* SPDX-License-Identifier: Apache-2.0 */
/* One server for a range of ports: connections to any of them come to its socket. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define AF_INET 2

const volatile __u16 first_port = 7000;
const volatile __u16 last_port = 7999;

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} server SEC(".maps");

SEC("sk_lookup")
int steer(struct bpf_sk_lookup *ctx)
{
	__u32 key = 0;
	struct bpf_sock *sk;
	long error;

	if (ctx->family != AF_INET || ctx->protocol != IPPROTO_TCP)
		return SK_PASS;
	/* The mistake: this port is in host order already. */
	if (bpf_ntohs(ctx->local_port) < first_port || bpf_ntohs(ctx->local_port) > last_port)
		return SK_PASS;
	sk = bpf_map_lookup_elem(&server, &key);
	if (!sk)
		return SK_DROP;
	error = bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
	return error ? SK_DROP : SK_PASS;
}

char LICENSE[] SEC("license") = "GPL";
