/* SPDX-License-Identifier: Apache-2.0 */
/* Settings under constant keys of an array: those lookups never fail. */
#include "corpus.h"

enum setting { ENABLED, MINIMUM, MAXIMUM, MASK, MARK, SETTINGS };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SETTINGS);
	__type(key, __u32);
	__type(value, __u32);
} settings SEC(".maps");

static __always_inline __u32 setting(__u32 key)
{
	__u32 *found = bpf_map_lookup_elem(&settings, &key);

	return found ? *found : 0;
}

SEC("tc")
int constant_keys(struct __sk_buff *skb)
{
	if (!setting(ENABLED))
		return TC_ACT_OK;
	if (skb->len < setting(MINIMUM) || skb->len > setting(MAXIMUM))
		return TC_ACT_SHOT;
	if ((skb->hash & setting(MASK)) == setting(MARK))
		skb->mark = setting(MARK);
	return TC_ACT_OK;
}
