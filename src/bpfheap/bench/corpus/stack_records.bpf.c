/* SPDX-License-Identifier: Apache-2.0 */
/* Builds records on the stack, copies them, and picks one by an index that is not constant. */
#include "corpus.h"

struct record {
	__u64 ns;
	__u32 len;
	__u32 mark;
	__u8 tag[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, __u32);
	__type(value, struct record);
} records SEC(".maps");

SEC("tc")
int stack_records(struct __sk_buff *skb)
{
	struct record made[6] = {}, chosen;
	__u32 key = skb->hash, index = skb->mark;
	__u8 *tag;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 6; i++) {
		made[i].ns = bpf_ktime_get_ns();
		made[i].len = skb->len + i;
		made[i].mark = skb->mark ^ i;
		for (int j = 0; j < 16; j++)
			made[i].tag[j] = i * 16 + j;
	}
	if (index >= 6)
		index = 5;
	chosen = made[index];
	tag = chosen.tag;
	tag[skb->priority & 15] = 0xff;
	bpf_map_update_elem(&records, &key, &chosen, BPF_ANY);
	return TC_ACT_OK;
}
