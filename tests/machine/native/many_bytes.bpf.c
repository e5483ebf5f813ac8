/* A loop over bytes, which LLVM does many at a time if it may. */
#include <bpfheap.h>

#define BYTES 4096

struct block {
	unsigned char byte[BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct block);
} block SEC(".maps");

SEC("syscall") int sum(void *ctx)
{
	__u32 key = 0;
	struct block *found = bpf_map_lookup_elem(&block, &key);
	int sum = 0;

	if (!found)
		return -1;
	for (int i = 0; i < BYTES; i++)
		sum += found->byte[i];
	return sum;
}

char LICENSE[] SEC("license") = "GPL";
