/* SPDX-License-Identifier: Apache-2.0 */
/* The product of two matrices of 20 by 20: three loops in one another. */
#include "corpus.h"

#define N 20

struct matrices {
	__u32 a[N][N], b[N][N], product[N][N];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct matrices);
} values SEC(".maps");

SEC("syscall")
int large_matrix(void *ctx)
{
	__u32 key = 0;
	struct matrices *m = bpf_map_lookup_elem(&values, &key);

	if (!m)
		return 1;
#pragma clang loop unroll(disable)
	for (int i = 0; i < N; i++)
#pragma clang loop unroll(disable)
		for (int j = 0; j < N; j++) {
			__u32 sum = 0;

#pragma clang loop unroll(disable)
			for (int k = 0; k < N; k++)
				sum += m->a[i][k] * m->b[k][j];
			m->product[i][j] = sum;
		}
	return 0;
}
