/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions: thrown while something is held, where none may be, and by callbacks that cannot be. */
#include "mistakes.h"

extern void bpf_throw(__u64 cookie) __ksym;

struct job {
	__u64 cost;
};

#define callback(name) __attribute__((btf_decl_tag("exception_callback:" #name)))

SEC("tc")
int throws_while_it_owns(struct __sk_buff *skb)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	if (skb->len > 1500)
		bpf_throw(1);
	bpf_obj_drop(j);
	return 0;
}

__attribute__((noinline)) int check_length(__u32 length)
{
	if (length > 1500)
		bpf_throw(1);
	return length;
}

SEC("tc")
int calls_what_throws_while_it_owns(struct __sk_buff *skb)
{
	struct job *j = bpf_obj_new(struct job);

	if (!j)
		return 0;
	j->cost = check_length(skb->len);
	bpf_obj_drop(j);
	return 0;
}

static long each(__u32 i, void *ctx)
{
	if (i > 3)
		bpf_throw(i);
	return 0;
}

SEC("tc")
int throws_in_a_loop(struct __sk_buff *skb)
{
	bpf_loop(10, each, NULL, 0);
	return 0;
}

SEC("cgroup_skb/ingress")
int throws_what_it_may_not_return(struct __sk_buff *skb)
{
	if (skb->len > 1500)
		bpf_throw(7);
	return 1;
}

__attribute__((noinline)) int handle_two(__u64 cookie, __u64 other)
{
	return cookie + other;
}

SEC("tc") callback(handle_two)
int callback_of_two_numbers(struct __sk_buff *skb)
{
	bpf_throw(1);
	return 0;
}
