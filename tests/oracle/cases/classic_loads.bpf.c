/* SPDX-License-Identifier: Apache-2.0 */
/* Loads of classic BPF, and jumps to other programs, in functions: they end these early. */
#include "oracle.h"

unsigned long long load_byte(void *skb, unsigned long long off) asm("llvm.bpf.load.byte");
unsigned long long load_half(void *skb, unsigned long long off) asm("llvm.bpf.load.half");
unsigned long long load_word(void *skb, unsigned long long off) asm("llvm.bpf.load.word");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, 4);
} programs SEC(".maps");

__u32 total;

static __noinline int number(struct __sk_buff *skb)
{
	return load_byte(skb, 23) + load_half(skb, 12);
}

static __noinline void nothing(struct __sk_buff *skb)
{
	total += load_word(skb, 26);
}

__weak __noinline int global(struct __sk_buff *skb)
{
	return load_byte(skb, skb->len);
}

static __noinline void jumps(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &programs, 0);
	total++;
}

static __noinline int jumps_with_number(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &programs, 0);
	return 1;
}

SEC("socket") __accept
int in_the_program(struct __sk_buff *skb)
{
	return load_byte(skb, 14 + (load_byte(skb, 14) & 15) * 4) == 53;
}

SEC("socket") __accept
int in_a_function(struct __sk_buff *skb)
{
	return number(skb);
}

SEC("tc") __accept
int in_a_global_function(struct __sk_buff *skb)
{
	return global(skb);
}

SEC("tc") __reject("LD_ABS is only allowed in functions that return 'int'")
int in_a_function_without_result(struct __sk_buff *skb)
{
	nothing(skb);
	return 0;
}

SEC("tc") __accept
int jump_in_a_function(struct __sk_buff *skb)
{
	return jumps_with_number(skb);
}

SEC("tc") __reject("tail_call is only allowed in functions that return 'int'")
int jump_in_a_function_without_result(struct __sk_buff *skb)
{
	jumps(skb);
	return 0;
}

SEC("tc") __reject("R0 !read_ok")
int jump_whose_result_is_used(struct __sk_buff *skb)
{
	return bpf_tail_call(skb, &programs, 0);
}

SEC("xdp") __reject("not allowed for this program type")
int in_xdp(struct xdp_md *ctx)
{
	return load_byte(ctx, 0) & 1;
}
