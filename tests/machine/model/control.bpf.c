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
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return bpf_jiffies64() + 1 > bpf_jiffies64();
}

char LICENSE[] SEC("license") = "GPL";
