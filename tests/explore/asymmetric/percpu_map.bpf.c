/* Keeps an object on a CPU other than the one that was marked before. */
#include "shared.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} here SEC(".maps");

volatile int marked;

SEC("tc") int mark(struct __sk_buff *skb)
{
	__u32 key = 0, *mine = bpf_map_lookup_elem(&here, &key);

	if (!mine)
		return 0;
	*mine = 1;
	marked = 1;
	return 0;
}

SEC("tc") int keep(struct __sk_buff *skb)
{
	__u32 key = 0, *mine;

	if (!marked)
		return 0;
	mine = bpf_map_lookup_elem(&here, &key);
	return mine && !*mine ? keep_one() : 0;
}
