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
