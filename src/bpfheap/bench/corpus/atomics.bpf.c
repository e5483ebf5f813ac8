/* SPDX-License-Identifier: Apache-2.0 */
/* Every atomic operation on a map value. */
#include "corpus.h"

struct cell {
	__u64 a, b, c, d;
	__u32 e, f;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct cell);
} cells SEC(".maps");

SEC("tc")
int atomics(struct __sk_buff *skb)
{
	__u32 key = skb->mark & 15;
	struct cell *cell = bpf_map_lookup_elem(&cells, &key);
	__u64 sum;

	if (!cell)
		return TC_ACT_OK;
	__sync_fetch_and_add(&cell->a, skb->len);
	sum = __sync_fetch_and_or(&cell->b, skb->hash);
	sum += __sync_fetch_and_and(&cell->c, ~sum);
	sum += __sync_fetch_and_xor(&cell->d, sum);
	sum += __sync_fetch_and_add(&cell->e, 1);
	sum += __sync_lock_test_and_set(&cell->f, skb->mark);
	if (__sync_val_compare_and_swap(&cell->a, sum, 0) == sum)
		sum = ~sum;
	return sum & 1;
}
