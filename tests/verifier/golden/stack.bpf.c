/* SPDX-License-Identifier: Apache-2.0 */
/* Local variables, and pointers to them. */
#include "mistakes.h"

SEC("tc")
int index_on_the_stack_unchecked(struct __sk_buff *skb)
{
	__u8 local[32] = {};
	__u64 i = skb->len;

	barrier_var(i);
	return *(volatile __u8 *)&local[i];
}

SEC("tc")
int past_the_frame(struct __sk_buff *skb)
{
	__u64 local = 7, *p = &local;

	barrier_var(p);
	return *(volatile __u64 *)(p + 1);
}

SEC("tc")
int not_aligned(struct __sk_buff *skb)
{
	__u64 local[2] = {};
	void *p = local;

	barrier_var(p);
	return *(volatile __u32 *)(p + 2);
}

static __noinline __u64 *address_of_own(__u64 value)
{
	volatile __u64 own = value;
	__u64 *p = (__u64 *)&own;

	barrier_var(p);
	return p;
}

SEC("tc")
int address_returned(struct __sk_buff *skb)
{
	return *address_of_own(skb->len);
}

static __noinline int hand_out(__u64 **where)
{
	volatile __u64 own = 5;

	*(volatile __u64 **)where = &own;
	return own;
}

SEC("tc")
int address_handed_out(struct __sk_buff *skb)
{
	__u64 *p = NULL;

	hand_out(&p);
	return p ? 1 : 0;
}

static __noinline int large(int n)
{
	volatile __u64 local[40];

	local[n & 1] = n;
	return local[0];
}

SEC("tc")
int stack_used_up(struct __sk_buff *skb)
{
	volatile __u64 local[30];

	local[skb->len & 1] = 1;
	return large(local[0]);
}

SEC("tc")
int pointer_in_halves(struct __sk_buff *skb)
{
	struct foo *p = foo_alloc();
	volatile struct {
		struct foo *p;
	} local;

	int half;

	if (!p)
		return 0;
	local.p = p;
	half = *(volatile __u32 *)&local.p;
	unit_free(p);
	return half;
}
