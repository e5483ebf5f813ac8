/* SPDX-License-Identifier: Apache-2.0 */
/* Sorts eight numbers by a network of nineteen comparisons, each a branch that joins again. */
#include "corpus.h"

struct eight {
	__u32 n[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct eight);
} values SEC(".maps");

#define ORDER(i, j)                                                                           \
	if (v->n[i] > v->n[j]) {                                                              \
		__u32 larger = v->n[i];                                                       \
		v->n[i] = v->n[j];                                                            \
		v->n[j] = larger;                                                             \
	}                                                                                     \
	barrier();

SEC("syscall")
int sorting_network(void *ctx)
{
	__u32 key = 0;
	struct eight *v = bpf_map_lookup_elem(&values, &key);

	if (!v)
		return 1;
	ORDER(0, 2) ORDER(1, 3) ORDER(4, 6) ORDER(5, 7)
	ORDER(0, 4) ORDER(1, 5) ORDER(2, 6) ORDER(3, 7)
	ORDER(0, 1) ORDER(2, 3) ORDER(4, 5) ORDER(6, 7)
	ORDER(2, 4) ORDER(3, 5)
	ORDER(1, 4) ORDER(3, 6)
	ORDER(1, 2) ORDER(3, 4) ORDER(5, 6)
	return 0;
}
