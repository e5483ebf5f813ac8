/* SPDX-License-Identifier: Apache-2.0 */
/* Moves an amount between two fields of a value under its spin lock. */
#include "corpus.h"

struct account {
	struct bpf_spin_lock lock;
	__u32 moves;
	__u64 held;
	__u64 free;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 128);
	__type(key, __u32);
	__type(value, struct account);
} accounts SEC(".maps");

SEC("tc")
int lock_account(struct __sk_buff *skb)
{
	__u32 key = skb->mark;
	struct account *a = bpf_map_lookup_elem(&accounts, &key);
	__u64 amount = skb->len;
	_Bool moved = 0;

	if (!a)
		return TC_ACT_OK;
	bpf_spin_lock(&a->lock);
	if (a->free >= amount) {
		a->free -= amount;
		a->held += amount;
		a->moves++;
		moved = 1;
	}
	bpf_spin_unlock(&a->lock);
	return moved ? TC_ACT_OK : TC_ACT_SHOT;
}
