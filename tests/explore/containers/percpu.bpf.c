/* SPDX-License-Identifier: Apache-2.0 */
/* A counter for each CPU that may be exchanged while others count. */
#include <bpfheap.h>

char LICENSE[] SEC("license") = "GPL";

struct tally {
	__u64 packets;
};

struct slot {
	struct tally __percpu_kptr *tally;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

SEC("tc") int renew(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct slot *s = bpf_map_lookup_elem(&slots, &key);
	struct tally *t;

	if (!s)
		return 0;
	t = (void *)bpf_kptr_xchg(&s->tally, (void *)bpf_percpu_obj_new(struct tally));
	if (t)
		bpf_percpu_obj_drop(t);
	return 0;
}

SEC("tc") int count(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct slot *s = bpf_map_lookup_elem(&slots, &key);
	struct tally *t, *mine;

	if (!s)
		return 0;
	t = (void *)s->tally;
	if (!t)
		return 0;
	mine = bpf_this_cpu_ptr(t);
	bpf_get_smp_processor_id();
	mine->packets++;
	return 0;
}
