/* Many objects that wait for a grace period, freed in one run; and runs that wait for a lock. */
#include <bpfheap.h>

struct counted {
	__u64 word;
	struct bpf_list_node node;
	struct bpf_refcount refs;
};

struct copies {
	__u64 word;
};

struct holder {
	struct bpf_spin_lock lock;
	struct bpf_list_head list __contains(counted, node);
	__u64 unused;
};

struct slot {
	struct bpf_spin_lock lock;
	struct bpf_list_head list __contains(counted, node);
	__u64 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

static long drop_counted(__u32 i, void *ctx)
{
	struct counted *one = bpf_obj_new(typeof(*one));

	if (one)
		bpf_obj_drop(one);
	return 0;
}

static long drop_copies(__u32 i, void *ctx)
{
	struct copies __percpu_kptr *one = bpf_percpu_obj_new(struct copies);

	if (one)
		bpf_percpu_obj_drop(one);
	return 0;
}

static long drop_holder(__u32 i, void *ctx)
{
	struct holder *holder = bpf_obj_new(typeof(*holder));
	struct counted *one;

	if (!holder)
		return 0;
	one = bpf_obj_new(typeof(*one));
	if (one) {
		bpf_spin_lock(&holder->lock);
		bpf_list_push_back(&holder->list, &one->node);
		bpf_spin_unlock(&holder->lock);
	}
	bpf_obj_drop(holder);
	return 0;
}

SEC("syscall") int churn(void *ctx)
{
	bpf_loop(2000, drop_counted, NULL, 0);
	bpf_loop(2000, drop_copies, NULL, 0);
	bpf_loop(2000, drop_holder, NULL, 0);
	return 0;
}

SEC("syscall") int fill(void *ctx)
{
	__u32 key = 0;
	struct slot *slot = bpf_map_lookup_elem(&slots, &key);
	struct counted *one;

	if (!slot)
		return 1;
	one = bpf_obj_new(typeof(*one));
	if (!one)
		return 2;
	bpf_spin_lock(&slot->lock);
	bpf_list_push_back(&slot->list, &one->node);
	slot->count++;
	bpf_spin_unlock(&slot->lock);
	return 0;
}

SEC("syscall") int count(void *ctx)
{
	__u32 key = 0;
	struct slot *slot = bpf_map_lookup_elem(&slots, &key);

	if (!slot)
		return 1;
	bpf_spin_lock(&slot->lock);
	slot->count++;
	bpf_spin_unlock(&slot->lock);
	return 0;
}

SEC("syscall") int update_locked(void *ctx)
{
	__u32 key = 0;
	struct slot empty = {};

	return bpf_map_update_elem(&slots, &key, &empty, BPF_F_LOCK);
}

SEC("perf_event") int sample(void *ctx)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
