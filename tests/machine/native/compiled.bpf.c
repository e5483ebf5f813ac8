/* What compiled programs have in them: maps, objects, callbacks, iterators, records. */
#include <bpfheap.h>

struct item {
	long word[4];
};

struct slot {
	struct item *item __kptr;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} runs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} programs SEC(".maps");

struct copies {
	__u64 before, count;
};

struct shelf {
	struct copies __percpu_kptr *own;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shelf);
} shelves SEC(".maps");

/* ctx[0] + ctx[1] */
SEC("syscall") int add(long *ctx)
{
	return ctx[0] + ctx[1];
}

/* Object in, object out; a count of runs, and a record of each. */
SEC("syscall") int work(long *ctx)
{
	__u32 key = ctx[0] & 3, one = 1;
	struct slot *slot = bpf_map_lookup_elem(&slots, &key);
	__u64 *run = bpf_map_lookup_elem(&runs, &one), *count, none = 0;
	struct item *item;
	long *record;

	if (!slot || !run)
		return 1;
	*run += 1;
	item = bpf_obj_new(typeof(*item));
	if (!item)
		return 2;
	item->word[3] = ctx[0];
	item = bpf_kptr_xchg(&slot->item, item);
	if (item)
		bpf_obj_drop(item);
	count = bpf_map_lookup_elem(&counts, &key);
	if (!count) {
		bpf_map_update_elem(&counts, &key, &none, BPF_ANY);
		count = bpf_map_lookup_elem(&counts, &key);
	}
	if (!count)
		return 3;
	__sync_fetch_and_add(count, 1);
	record = bpf_ringbuf_reserve(&records, sizeof(*record), 0);
	if (record) {
		*record = ctx[0];
		bpf_ringbuf_submit(record, 0);
	}
	return 0;
}

static long add_round(__u32 i, __u64 *sum)
{
	*sum += i;
	return 0;
}

static long add_element(void *map, __u32 *key, __u64 *value, __u64 *sum)
{
	*sum += *key + *value;
	return 0;
}

/* 0 to 99, in three ways. */
SEC("syscall") int loops(long *ctx)
{
	__u64 sum = 0, all = 0;
	int i;

	bpf_loop(100, add_round, &sum, 0);
	all = sum;
	bpf_for(i, 0, 100)
		all += i;
	sum = 0;
	bpf_for_each_map_elem(&counts, add_element, &sum, 0);
	return all * 1000 + sum;
}

/* Longer than anybody waits. */
SEC("syscall") int long_loops(long *ctx)
{
	__u64 sum = 0;
	int i, j;

	bpf_for(i, 0, 8000000) {
		bpf_for(j, 0, 8000000)
			sum += bpf_get_prandom_u32();
	}
	return sum;
}

/* The verifier walks all of it. */
SEC("syscall") int short_loop(long *ctx)
{
	__u64 x = ctx[0];

	for (int i = 0; i < 1000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		asm volatile("" : "+r"(x));
	}
	return x;
}

SEC("syscall") int say(long *ctx)
{
	bpf_printk("%d and %d", (int)ctx[0], (int)ctx[1]);
	return 5;
}

SEC("raw_tp") int second(long *ctx)
{
	return 1000 + ctx[1];
}

SEC("raw_tp") int first(long *ctx)
{
	bpf_tail_call(ctx, &programs, 1);
	return 7;
}

/* Instructions that have a pointer on one path, and a number, or another operand that is one, on
 * another. */
SEC("tc") int mixed(struct __sk_buff *ctx)
{
	__u32 key = 1;
	__u64 *at = bpf_map_lookup_elem(&counts, &key), way = ctx->len & 1, first, second;

	if (!at)
		return -1;
	asm volatile("if %[way] == 0 goto 1f\n"
		     "r1 = %[at]\n"
		     "r2 = 4\n"
		     "goto 2f\n"
		     "1: r1 = 4\n"
		     "r2 = %[at]\n"
		     "2: r1 += r2\n"
		     "%[out] = *(u32 *)(r1 + 0)\n"
		     : [out] "=r"(first)
		     : [at] "r"(at), [way] "r"(way)
		     : "r1", "r2");
	asm volatile("r1 = 5\n"
		     "r2 = 7\n"
		     "if %[way] == 0 goto 1f\n"
		     "r1 = %[at]\n"
		     "r2 = 0\n"
		     "1: r1 += r2\n"
		     "if %[way] == 0 goto 2f\n"
		     "%[out] = *(u32 *)(r1 + 0)\n"
		     "goto 3f\n"
		     "2: %[out] = r1\n"
		     "3:\n"
		     : [out] "=r"(second)
		     : [at] "r"(at), [way] "r"(way)
		     : "r1", "r2");
	return first * 1000 + second;
}

/* Time goes on, and each CPU has a copy of its own. */
SEC("tc") int where(void *ctx)
{
	__u64 then = bpf_ktime_get_ns(), now = bpf_ktime_get_ns(), *copy;
	struct copies *own;
	__u32 key = 0;
	struct shelf *shelf = bpf_map_lookup_elem(&shelves, &key);

	if (!shelf || now < then)
		return -1;
	if (!shelf->own) {
		own = bpf_percpu_obj_new(typeof(*own));
		if (!own)
			return -2;
		own = bpf_kptr_xchg(&shelf->own, own);
		if (own)
			bpf_percpu_obj_drop(own);
	}
	bpf_rcu_read_lock();
	own = shelf->own;
	if (!own) {
		bpf_rcu_read_unlock();
		return -3;
	}
	copy = &((struct copies *)bpf_this_cpu_ptr(own))->count;
	*copy += 1 + bpf_get_smp_processor_id() * 10;
	now = *copy;
	if (bpf_per_cpu_ptr(own, 9))
		now = 0;
	own = bpf_per_cpu_ptr(own, 1);
	if (own)
		now += own->count * 1000;
	bpf_rcu_read_unlock();
	return now;
}

char LICENSE[] SEC("license") = "GPL";
