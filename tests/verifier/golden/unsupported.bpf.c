/* SPDX-License-Identifier: Apache-2.0 */
/* What Linux may take, and bpfheap does not know. */
#include "mistakes.h"

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 16);
	__type(key, __u64);
	__type(value, struct counts);
} routes SEC(".maps");

extern int CONFIG_HZ __attribute__((section(".kconfig")));
extern const int runqueues __ksym;
void bpf_task_release(void *task) __ksym;
void bpf_preempt_disable(void) __ksym;
static long (*bpf_csum_diff)(void *, __u32, void *, __u32, __u32) = (void *)28;
static __u64 (*bpf_get_socket_cookie)(void *) = (void *)46;

SEC("nonsense")
int section_unknown(struct __sk_buff *skb)
{
	return 0;
}

SEC("tc")
int helper_unknown(struct __sk_buff *skb)
{
	return bpf_csum_diff(NULL, 0, NULL, 0, 0);
}

SEC("tc")
int map_type_unknown(struct __sk_buff *skb)
{
	__u64 key = skb->len;

	return bpf_map_lookup_elem(&routes, &key) != NULL;
}

SEC("tc")
int kfunc_of_a_family(struct __sk_buff *skb)
{
	bpf_preempt_disable();
	return 0;
}

SEC("tc")
int configuration(struct __sk_buff *skb)
{
	return CONFIG_HZ;
}

SEC("tc")
int socket_of_a_packet(struct __sk_buff *skb)
{
	return skb->sk != NULL;
}

SEC("fentry/vfs_read")
int all_of_it(void *ctx)
{
	__u64 key = (long)&runqueues;

	if (bpf_map_lookup_elem(&routes, &key))
		return bpf_get_socket_cookie(ctx) + CONFIG_HZ;
	bpf_task_release(ctx);
	return 0;
}
