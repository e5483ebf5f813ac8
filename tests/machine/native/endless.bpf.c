/* Loops around rounds that have an end, and loops that have none themselves: the verifier refuses those. */
#include <bpfheap.h>

static long nothing(__u32 i, void *ctx)
{
	return 0;
}

#define FOREVER(round)                        \
	do {                                  \
		__u64 x = 0;                  \
		for (;;) {                    \
			round;                \
			barrier_var(x);       \
			if (x == 1)           \
				break;        \
			x = 0;                \
		}                             \
	} while (0)

SEC("raw_tp") int around_loop(void *ctx)
{
	FOREVER(bpf_loop(1, nothing, NULL, 0));
	return 0;
}

SEC("raw_tp") int around_no_rounds(void *ctx)
{
	FOREVER(bpf_loop(0, nothing, NULL, 0));
	return 0;
}

SEC("raw_tp") int around_iterator(void *ctx)
{
	int i;

	FOREVER(bpf_for(i, 0, 3) { barrier(); });
	return 0;
}

SEC("raw_tp") int around_empty_iterator(void *ctx)
{
	int i;

	FOREVER(bpf_for(i, 0, 0) { barrier(); });
	return 0;
}

SEC("raw_tp") int around_may_goto(void *ctx)
{
	__u64 n = 0;

	FOREVER(while (n < 5 && can_loop) n++);
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} words SEC(".maps");

static long nothing_of_it(void *map, __u32 *key, __u64 *value, void *ctx)
{
	return 0;
}

SEC("raw_tp") int around_elements(void *ctx)
{
	FOREVER(bpf_for_each_map_elem(&words, nothing_of_it, NULL, 0));
	return 0;
}

SEC("raw_tp") int around_two(void *ctx)
{
	int i;

	FOREVER(bpf_loop(2, nothing, NULL, 0); bpf_for(i, 0, 2) { barrier(); });
	return 0;
}

SEC("raw_tp") int around_one_that_is_left(void *ctx)
{
	int i;

	FOREVER(bpf_for(i, 0, 9) { if (i == 2) break; });
	return 0;
}

static long forever(__u32 i, void *ctx)
{
	FOREVER(bpf_loop(1, nothing, NULL, 0));
	return 0;
}

SEC("raw_tp") int in_a_callback(void *ctx)
{
	bpf_loop(3, forever, NULL, 0);
	return 0;
}

static __noinline int forever_below(int n)
{
	int i;

	FOREVER(bpf_for(i, 0, 3) { barrier(); });
	return n;
}

SEC("raw_tp") int in_a_function(void *ctx)
{
	return forever_below(1);
}

__weak __noinline int forever_global(int n)
{
	FOREVER(bpf_loop(n, nothing, NULL, 0));
	return n;
}

SEC("raw_tp") int in_a_global_function(void *ctx)
{
	return forever_global(2);
}

/* Each function calls the next one many times: no loop, but no end that anybody sees. */
#define FOUR(x) x x x x
#define MANY(x) FOUR(FOUR(x x x))
#define LEVEL(name, next)                     \
	static __noinline int name(__u64 *n)  \
	{                                     \
		int sum = 0;                  \
		MANY(sum += next(n);)         \
		return sum;                   \
	}

static __noinline int leaf(__u64 *n)
{
	return ++*(volatile __u64 *)n;
}

LEVEL(level5, leaf)
LEVEL(level4, level5)
LEVEL(level3, level4)
LEVEL(level2, level3)
LEVEL(level1, level2)

SEC("raw_tp") int around_calls(void *ctx)
{
	__u64 n = 0;

	level1(&n);
	return level1(&n);
}

static long many(__u32 i, void *ctx)
{
	bpf_loop(1 << 23, nothing, NULL, 0);
	return 0;
}

/* It has an end, which nobody lives to see. */
SEC("perf_event") int sampled(void *ctx)
{
	bpf_loop(1 << 23, many, NULL, 0);
	return 0;
}

char _license[] SEC("license") = "GPL";
