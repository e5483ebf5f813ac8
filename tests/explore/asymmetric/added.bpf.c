/* Keeps an object if an element comes between two look-ups. */
#include "shared.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} seen SEC(".maps");

SEC("tc") int add(struct __sk_buff *skb)
{
	__u32 key = 0;

	return bpf_map_update_elem(&seen, &key, &key, BPF_ANY);
}

SEC("tc") int keep(struct __sk_buff *skb)
{
	__u32 key = 0;
	void *first = bpf_map_lookup_elem(&seen, &key);
	void *second = bpf_map_lookup_elem(&seen, &key);

	/* Stops here, too, whatever was found. */
	bpf_map_lookup_elem(&m, &key);
	return !first && second ? keep_one() : 0;
}
