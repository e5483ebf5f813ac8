/* SPDX-License-Identifier: Apache-2.0 */
/* Two iterators in one another over a matrix of a map value. */
#include "corpus.h"

struct matrix {
	__u32 cells[16][16];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct matrix);
} matrices SEC(".maps");

SEC("syscall")
int iterator_nested(void *ctx)
{
	__u32 key = 0;
	struct matrix *m = bpf_map_lookup_elem(&matrices, &key);
	__u64 trace = 0;
	int row, column;

	if (!m)
		return -1;
	bpf_for(row, 0, 16) {
		bpf_for(column, 0, 16) {
			__u32 r = row & 15, c = column & 15;

			if (r == c)
				trace += m->cells[r][c];
			else
				m->cells[r][c] ^= trace;
		}
	}
	return trace;
}
