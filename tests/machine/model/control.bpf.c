/* What control flow gives, here and on Linux: see test_model_control_c.py. */
#include <bpfheap.h>

SEC("tc") int iterators_321(struct __sk_buff *skb)
{
	int i, sum = 0;

	bpf_for(i, 0, 10) {
		if (i == 7)
			break;
		sum += i;
	}
	bpf_repeat(3)
		sum += 100;
	return sum;
}

SEC("tc") int nested_iterators_30(struct __sk_buff *skb)
{
	int i, j, sum = 0;

	bpf_for(i, 0, 5)
		bpf_for(j, 0, i)
			sum += i;
	return sum;
}

SEC("tc") int empty_iterators_7(struct __sk_buff *skb)
{
	int i, sum = 7;

	bpf_for(i, 3, 3)
		sum++;
	bpf_for(i, 5, 3)
		sum++;
	return sum;
}

SEC("tc") int conditional_65(struct __sk_buff *skb)
{
	int sum = 0;

	while (can_loop)
		if (++sum == 5)
			break;
	for (int i = 0;; i++) {
		cond_break;
		if (i == 6)
			break;
		sum += 10;
	}
	return sum;
}

SEC("tc") int rcu_section_1(struct __sk_buff *skb)
{
	__u64 then = bpf_jiffies64();

	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return bpf_jiffies64() >= then;
}

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

/* Digits from the left: a full ring takes nothing, what is there, what came before, the ring. */
SEC("tc") int full_ring_14093096(struct __sk_buff *skb)
{
	void *first = bpf_ringbuf_reserve(&ring, 4080, 0), *second;
	int result = 0;

	if (!first)
		return 1;
	second = bpf_ringbuf_reserve(&ring, 0, 0);
	if (second)
		bpf_ringbuf_discard(second, 0);
	else
		result = 10000000;
	result += bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) * 1000;
	result += bpf_ringbuf_query(&ring, BPF_RB_CONS_POS) + bpf_ringbuf_query(&ring, 9);
	result += bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE);
	result += (bpf_ringbuf_query(&ring, BPF_RB_PROD_POS) - 4088) * 100;
	bpf_ringbuf_discard(first, 0);
	result += bpf_ringbuf_output(&ring, &result, 4, 8) == -22 ? 500 : 0;
	result += bpf_ringbuf_output(&ring, &result, 0, 0) == -11 ? 500 : 0;
	return result;
}

int callee(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, sizeof(__u32));
	__array(values, int (void *));
} jumps SEC(".maps") = {
	.values = { [1] = (void *)&callee },
};

SEC("tc") int callee(struct __sk_buff *skb)
{
	skb->cb[0]++;
	bpf_tail_call(skb, &jumps, skb->cb[1]);
	return skb->cb[0] * 10 + 5;
}

SEC("tc") int tail_15(struct __sk_buff *skb)
{
	skb->cb[0] = skb->cb[1] = 0;
	bpf_tail_call(skb, &jumps, 1);
	return 1;
}

SEC("tc") int tail_many_335(struct __sk_buff *skb)
{
	skb->cb[0] = 0;
	skb->cb[1] = 1;
	bpf_tail_call(skb, &jumps, 1);
	return 1;
}

SEC("tc") int tail_nowhere_22(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &jumps, 0);
	bpf_tail_call(skb, &jumps, 99);
	return 22;
}

static __noinline int by_tail(struct __sk_buff *skb)
{
	int otherwise = 3;

	bpf_tail_call(skb, &jumps, 1);
	barrier_var(otherwise);
	return otherwise;
}

SEC("tc") int tail_of_a_function_115(struct __sk_buff *skb)
{
	int mine = 100;

	skb->cb[0] = skb->cb[1] = 0;
	barrier_var(mine);
	return mine + by_tail(skb);
}

char LICENSE[] SEC("license") = "GPL";
