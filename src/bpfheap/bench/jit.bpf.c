/* What compiled programs are timed on: each loop twice, for the live kernel and for this one. */
#include <bpfheap.h>

#define ROUNDS 4000
#define KEYS 1023
#define BYTES 4096

struct item {
	long word[4];
};

struct slot {
	struct item *item __kptr;
};

struct block {
	unsigned char byte[BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct block);
} block SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} seed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot);
} slot SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} hash SEC(".maps");

/* A chain: no round can begin before the last one has ended. */
static __always_inline int alu(void)
{
	__u32 key = 0;
	__u64 *at = bpf_map_lookup_elem(&seed, &key), x;

	if (!at)
		return 1;
	x = *at + 88172645463325252ull;
	for (int i = 0; i < ROUNDS; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	*at = x;
	return 0;
}

static __always_inline int mem(void)
{
	__u32 key = 0;
	struct block *found = bpf_map_lookup_elem(&block, &key);
	__u64 *at = bpf_map_lookup_elem(&seed, &key), sum = 0;

	if (!found || !at)
		return 1;
	for (int i = 0; i < BYTES; i++)
		sum += found->byte[i];
	*at = sum;
	return 0;
}

static long fill_once(__u32 i, void *ctx)
{
	__u64 value = i;

	bpf_map_update_elem(&hash, &i, &value, BPF_ANY);
	return 0;
}

static long lookup_once(__u32 i, __u64 *sum)
{
	__u32 key = i & KEYS;
	__u64 *value = bpf_map_lookup_elem(&hash, &key);

	if (!value)
		return 1;
	*sum += *value;
	return 0;
}

static __always_inline int lookup(void)
{
	__u32 key = 0;
	__u64 sum = 0, *at = bpf_map_lookup_elem(&seed, &key);

	if (!at)
		return 1;
	/* The keys are there since the first run. */
	if (!bpf_map_lookup_elem(&hash, &key))
		bpf_loop(KEYS + 1, fill_once, NULL, 0);
	bpf_loop(ROUNDS, lookup_once, &sum, 0);
	*at = sum;
	return 0;
}

static long cycle_once(__u32 i, void *ctx)
{
	__u32 key = 0;
	struct slot *at = bpf_map_lookup_elem(&slot, &key);
	struct item *item;

	if (!at)
		return 1;
	item = bpf_obj_new(typeof(*item));
	if (!item)
		return 1;
	item = bpf_kptr_xchg(&at->item, item);
	if (item)
		bpf_obj_drop(item);
	return 0;
}

static __always_inline int cycle(void)
{
	return bpf_loop(ROUNDS, cycle_once, NULL, 0) != ROUNDS;
}

#define BOTH(name)                                     \
	SEC("tc") int kernel_##name(void *ctx)         \
	{                                              \
		return name();                         \
	}                                              \
	SEC("syscall") int native_##name(void *ctx)    \
	{                                              \
		return name();                         \
	}

BOTH(alu)
BOTH(mem)
BOTH(lookup)
BOTH(cycle)

SEC("syscall") int empty(long *ctx)
{
	return ctx[0];
}

struct task_struct {
	int tgid;
	struct task_struct *real_parent;
} __attribute__((preserve_access_index));

/* As tools that trace do: what it is given, who runs, and a count. */
SEC("raw_tp/sched_process_fork") int traced(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0], *parent = NULL;
	__u64 *count, one = 1;
	__u32 tgid = 0;

	bpf_probe_read_kernel(&parent, sizeof(parent), &task->real_parent);
	if (parent)
		bpf_probe_read_kernel(&tgid, sizeof(tgid), &parent->tgid);
	if (tgid == bpf_get_current_pid_tgid() >> 32)
		return 1;
	count = bpf_map_lookup_elem(&hash, &tgid);
	if (count)
		__sync_fetch_and_add(count, ctx[1]);
	else
		bpf_map_update_elem(&hash, &tgid, &one, BPF_ANY);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
