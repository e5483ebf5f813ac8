// Programs that a test breaks off, and an array to look at.
#include <bpfheap.h>

struct guarded {
	struct bpf_spin_lock lock;
	int value;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct guarded);
} guarded SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 512);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

SEC("syscall")
int take_lock(void *ctx)
{
	__u32 key = 0;
	struct guarded *found = bpf_map_lookup_elem(&guarded, &key);

	if (!found)
		return 0;
	bpf_spin_lock(&found->lock);
	found->value++;
	bpf_spin_unlock(&found->lock);
	return 7;
}

SEC("syscall")
int keep_lock(void *ctx)
{
	__u32 key = 0;
	struct guarded *found = bpf_map_lookup_elem(&guarded, &key);
	int i, j;

	if (!found)
		return 0;
	bpf_spin_lock(&found->lock);
	bpf_for(i, 0, 1 << 23)
		bpf_for(j, 0, 1 << 23)
			found->value = found->value * 31 ^ j;
	bpf_spin_unlock(&found->lock);
	return 7;
}

SEC("syscall")
int spin(void *ctx)
{
	__u32 key = 1;
	__u64 *found = bpf_map_lookup_elem(&numbers, &key);
	int i, j;

	if (!found)
		return 0;
	bpf_for(i, 0, 1 << 23)
		bpf_for(j, 0, 1 << 23)
			*found = *found * 31 ^ j;
	return 1;
}

char _license[] SEC("license") = "GPL";
