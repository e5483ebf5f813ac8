/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a program that throws. The length of the packet says what happens. */
#include <bpfheap.h>

char LICENSE[] SEC("license") = "GPL";

#define apart __attribute__((noinline))

__u64 handled;

static apart int throws(int n)
{
	volatile int on_the_stack[8] = { n };

	if (n > 100)
		bpf_throw(on_the_stack[0]);
	return n;
}

static apart int throws_deeper(int n)
{
	return throws(n + 1) + 1;
}

apart int throws_globally(int n)
{
	return throws_deeper(n) * 2;
}

apart __u64 adds(__u64 cookie)
{
	__u64 sum = cookie;
	int i;

	bpf_for(i, 0, 3)
		sum += 1000;
	handled += 1;
	return sum;
}

apart int narrow(__u32 cookie)
{
	return cookie >> 4;
}

SEC("tc") int by_default(struct __sk_buff *skb)
{
	return throws_deeper(skb->len) + 5;
}

SEC("tc") __exception_cb(adds) int by_callback(struct __sk_buff *skb)
{
	return throws_deeper(skb->len) + 5;
}

SEC("tc") __exception_cb(narrow) int by_narrow_callback(struct __sk_buff *skb)
{
	bpf_throw(0x1234567800000000 + skb->len);
	return 0;
}

SEC("tc") int in_global_function(struct __sk_buff *skb)
{
	return throws_globally(skb->len);
}

SEC("tc") int asserts(struct __sk_buff *skb)
{
	bpf_assert(skb->len < 200);
	bpf_assert_with(skb->len < 100, 42);
	return 7;
}

SEC("tc") int at_once(struct __sk_buff *skb)
{
	bpf_throw(skb->len);
	return 1;
}

static long counts(__u32 i, __u64 *sum)
{
	*sum += i;
	return 0;
}

SEC("tc") int after_a_loop(struct __sk_buff *skb)
{
	__u64 sum = 0;

	bpf_loop(10, counts, &sum, 0);
	bpf_throw(sum + skb->len);
	return 1;
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, int (void *));
} others SEC(".maps") = {
	.values = { [0] = (void *)&by_callback, [1] = (void *)&at_once, [2] = (void *)&asserts },
};

static apart int jumps(struct __sk_buff *skb)
{
	volatile int n = 3;

	bpf_tail_call(skb, &others, skb->len % 3);
	return n;
}

/* What the other program throws is what it returns to the caller of the function that jumped. */
SEC("tc") int jumps_below(struct __sk_buff *skb)
{
	int n = jumps(skb);

	if (skb->len > 250)
		bpf_throw(n + 1);
	return n + 100000;
}

SEC("tc") int jumps_away(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &others, skb->len % 3);
	return 3;
}
