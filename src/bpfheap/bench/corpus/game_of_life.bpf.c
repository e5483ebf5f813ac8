/* SPDX-License-Identifier: Apache-2.0 */
/* A generation of Conway's game on 16 rows of bits: shifts and masks, rows in a loop. */
#include "corpus.h"

struct board {
	__u64 rows[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct board);
} boards SEC(".maps");

SEC("syscall")
int game_of_life(void *ctx)
{
	__u32 from = 0, to = 1;
	struct board *old = bpf_map_lookup_elem(&boards, &from);
	struct board *new = bpf_map_lookup_elem(&boards, &to);

	if (!old || !new)
		return -1;
#pragma clang loop unroll(disable)
	for (int row = 0; row < 16; row++) {
		__u64 above = old->rows[row - 1 & 15], here = old->rows[row];
		__u64 below = old->rows[row + 1 & 15], ones = 0, twos = 0, fours = 0;
		__u64 sides[8] = {above << 1, above, above >> 1, here << 1,
				  here >> 1,  below << 1, below, below >> 1};

#pragma unroll
		for (int i = 0; i < 8; i++) {
			__u64 carry = ones & sides[i];

			ones ^= sides[i];
			fours |= twos & carry;
			twos ^= carry;
		}
		new->rows[row] = twos & ~fours & (ones | here);
	}
	return 0;
}
