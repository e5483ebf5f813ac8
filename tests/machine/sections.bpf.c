/* SPDX-License-Identifier: Apache-2.0 */
/* Sections without preemption and without interrupts. */
#include <bpfheap.h>

char LICENSE[] SEC("license") = "GPL";

#define apart __attribute__((noinline))

static apart void begin(unsigned long *flags)
{
	bpf_preempt_disable();
	bpf_local_irq_save(flags);
}

static apart void end(unsigned long *flags)
{
	bpf_local_irq_restore(flags);
	bpf_preempt_enable();
}

static long in_callback(__u32 i, __u64 *sum)
{
	unsigned long flags;

	bpf_local_irq_save(&flags);
	*sum += i;
	bpf_local_irq_restore(&flags);
	return 0;
}

SEC("tc") int nested(struct __sk_buff *skb)
{
	unsigned long one, two;
	__u64 sum = 0;

	begin(&one);
	begin(&two);
	bpf_loop(skb->len & 15, in_callback, &sum, 0);
	end(&two);
	end(&one);
	return sum;
}

SEC("tc") int one_after_the_other(struct __sk_buff *skb)
{
	unsigned long flags;
	int i, n = 0;

	bpf_for(i, 0, 5) {
		begin(&flags);
		n += i;
		end(&flags);
	}
	return n + skb->len;
}
