#include <bpfheap.h>

struct item {
	long ip;
	struct bpf_list_node node;
};

struct slot {
	struct item *item __kptr;
	long count;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, long);
} seen SEC(".maps");

struct regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip;
};

/* Allocates, exchanges, frees, updates and deletes, whatever it interrupts. */
SEC("perf_event")
int sample(struct regs *regs)
{
	__u32 key = bpf_get_prandom_u32() & 31, zero = 0, one = 1;
	struct slot empty = {}, *slot;
	struct item *item;
	long *count;

	count = bpf_map_lookup_elem(&seen, &zero);
	if (count)
		__sync_fetch_and_add(count, 1);
	count = bpf_map_lookup_elem(&seen, &one);
	if (count)
		*count = regs->ip;
	if (bpf_get_prandom_u32() & 3) {
		bpf_map_update_elem(&slots, &key, &empty, BPF_NOEXIST);
	} else {
		bpf_map_delete_elem(&slots, &key);
		return 1;
	}
	slot = bpf_map_lookup_elem(&slots, &key);
	if (!slot)
		return 2;
	item = bpf_obj_new(typeof(*item));
	if (!item)
		return 3;
	item->ip = regs->ip;
	item = bpf_kptr_xchg(&slot->item, item);
	if (item)
		bpf_obj_drop(item);
	return 0;
}

SEC("tc")
int work(void *ctx)
{
	__u32 key = bpf_get_prandom_u32() & 31;
	struct slot empty = {}, *slot;
	struct item *item;

	bpf_map_update_elem(&slots, &key, &empty, BPF_ANY);
	slot = bpf_map_lookup_elem(&slots, &key);
	if (!slot)
		return 1;
	item = bpf_obj_new(typeof(*item));
	if (!item)
		return 2;
	item = bpf_kptr_xchg(&slot->item, item);
	if (item)
		bpf_obj_drop(item);
	if (key & 1)
		bpf_map_delete_elem(&slots, &key);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
