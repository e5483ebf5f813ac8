/* SPDX-License-Identifier: Apache-2.0 */
/* What Linux may take, and bpfheap does not know. */
#include "mistakes.h"

struct {
	__uint(type, BPF_MAP_TYPE_STRUCT_OPS);
	__uint(max_entries, 16);
	__type(key, __u64);
	__type(value, struct counts);
} routes SEC(".maps");

extern int CONFIG_HZ __attribute__((section(".kconfig")));
extern const int runqueues __ksym;
_Bool bpf_session_is_return(void) __ksym;
void bpf_task_work_made_up(void) __ksym;

SEC("nonsense")
int section_unknown(struct __sk_buff *skb)
{
	return 0;
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
	bpf_task_work_made_up();
	return 0;
}

SEC("tc")
int configuration(struct __sk_buff *skb)
{
	return CONFIG_HZ;
}

SEC("fentry/vfs_read")
int all_of_it(void *ctx)
{
	__u64 key = (long)&runqueues;

	if (bpf_map_lookup_elem(&routes, &key)) {
		bpf_task_work_made_up();
		return CONFIG_HZ;
	}
	return bpf_session_is_return();
}
