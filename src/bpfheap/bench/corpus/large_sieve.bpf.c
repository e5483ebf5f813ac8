/* SPDX-License-Identifier: Apache-2.0 */
/* A sieve for primes below 3,584 in a map value: inner loops of many lengths. */
#include "corpus.h"

#define N 3584

struct sieve {
	__u8 composite[N];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sieve);
} sieves SEC(".maps");

SEC("syscall")
int large_sieve(void *ctx)
{
	__u32 key = 0, primes = 0;
	struct sieve *s = bpf_map_lookup_elem(&sieves, &key);

	if (!s)
		return -1;
#pragma clang loop unroll(disable)
	for (__u32 i = 2; i < 64; i++) {
#pragma clang loop unroll(disable)
		for (__u32 j = i * i; j < N; j += i)
			s->composite[j] = 1;
	}
#pragma clang loop unroll(disable)
	for (__u32 i = 2; i < N; i++)
		primes += !s->composite[i];
	return primes;
}
