/* SPDX-License-Identifier: Apache-2.0 */
/* Sections without preemption: how they nest, and what may be called in them. */
#include "oracle.h"

#define global __weak __noinline
#define OPEN "cannot be used inside bpf_preempt_disable-ed region"
#define UNMATCHED "unmatched attempt to enable preemption (kernel function bpf_preempt_enable)"
#define SLEEPS "global functions that may sleep are not allowed in non-sleepable context"
#define chance (bpf_get_prandom_u32() & 1)
#define off bpf_preempt_disable
#define on bpf_preempt_enable

struct node {
	__u64 n;
};

private(A) struct bpf_spin_lock lock;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} others SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} kept SEC(".maps");

__u64 variable;

static __noinline void disables(void)
{
	off();
}

static __noinline void enables(void)
{
	on();
}

static __noinline int disables_sometimes(int n)
{
	if (n)
		off();
	return n;
}

global int pure(int n)
{
	return n + 1;
}

global int balanced_globally(int n)
{
	off();
	on();
	return n;
}

global int leaves_it_off(int n)
{
	off();
	return n;
}

global int sleeps(int n)
{
	char b[8];

	return bpf_copy_from_user(b, sizeof(b), NULL) & n;
}

global int sleeps_deeper(int n)
{
	return sleeps(n) + 1;
}

static long balanced_in_callback(__u32 i, void *ctx)
{
	off();
	on();
	return 0;
}

static long callback_disables(__u32 i, void *ctx)
{
	off();
	return 0;
}

#define CASE(name, verdict, section, body)             \
	SEC(section) verdict int name(void *ctx)       \
	{                                              \
		body;                                  \
		return 0;                              \
	}

CASE(balanced, __accept, "tc", off(); on())
CASE(never_enabled, __reject("BPF_EXIT instruction in main prog " OPEN), "tc", off())
CASE(enabled_sometimes, __reject(OPEN), "tc", off(); if (chance) on())
CASE(enabled_on_both_ways, __accept, "tc", off(); if (chance) on(); else on())
CASE(never_disabled, __reject(UNMATCHED), "tc", on())
CASE(disabled_sometimes, __reject(UNMATCHED), "tc", if (chance) off(); on())
CASE(nested, __accept, "tc", off(); off(); off(); on(); on(); on())
CASE(one_left, __reject(OPEN), "tc", off(); off(); off(); on(); on())
CASE(one_too_many, __reject(UNMATCHED), "tc", off(); off(); on(); on(); on())
CASE(twice, __accept, "tc", off(); on(); off(); on())
CASE(in_functions, __accept, "tc", disables(); enables())
CASE(function_alone, __reject(OPEN), "tc", disables())
CASE(function_enables_alone, __reject(UNMATCHED), "tc", enables())
CASE(function_knows, __accept, "tc", if (disables_sometimes(chance)) on())
CASE(function_does_not_know, __reject(OPEN), "tc", disables_sometimes(chance))
CASE(global_function, __accept, "tc", off(); pure(1); on())
CASE(global_function_has_one, __accept, "tc", off(); balanced_globally(1); on())
CASE(global_function_leaves_one, __reject("BPF_EXIT instruction in main prog " OPEN), "tc",
     leaves_it_off(1))
CASE(allocation, __accept, "tc", off(); struct node *p = bpf_obj_new(struct node);
     if (p) bpf_obj_drop(p); on())
CASE(under_a_lock, __reject("function calls are not allowed while holding a lock"), "tc",
     bpf_spin_lock(&lock); off(); on(); bpf_spin_unlock(&lock))
CASE(around_a_lock, __accept, "tc", off(); bpf_spin_lock(&lock); bpf_spin_unlock(&lock); on())
CASE(across_a_section, __accept, "tc", bpf_rcu_read_lock(); off(); bpf_rcu_read_unlock(); on())
CASE(across_interrupts, __accept, "tc", unsigned long f; off(); bpf_local_irq_save(&f); on();
     bpf_local_irq_restore(&f))
CASE(helper_sleeps, __reject("sleepable helper bpf_copy_from_user#148 in non-preemptible region"),
     "syscall", char b[8]; off(); bpf_copy_from_user(b, 8, NULL); on())
CASE(helper_sleeps_after, __accept, "syscall", char b[8]; off(); on();
     bpf_copy_from_user(b, 8, NULL))
CASE(helper_sleeps_nested, __reject("in non-preemptible region"), "syscall", char b[8]; off();
     off(); on(); bpf_copy_from_user(b, 8, NULL); on())
CASE(both_sections, __reject("in rcu_read_lock region"), "syscall", char b[8]; off();
     bpf_rcu_read_lock(); bpf_copy_from_user(b, 8, NULL); bpf_rcu_read_unlock(); on())
CASE(global_sleeps, __reject(SLEEPS), "syscall", off(); sleeps(1); on())
CASE(global_sleeps_deeper, __reject(SLEEPS), "syscall", off(); sleeps_deeper(1); on())
CASE(global_sleeps_after, __accept, "syscall", off(); on(); sleeps_deeper(1))
CASE(global_does_not_sleep, __accept, "syscall", off(); pure(1); on())
CASE(tail_call, __reject("tail_call " OPEN), "tc", off(); bpf_tail_call(ctx, &others, 0); on())
CASE(tail_call_after, __accept, "tc", off(); on(); bpf_tail_call(ctx, &others, 0))
CASE(throw, __reject("bpf_throw " OPEN), "tc", off(); if (chance) bpf_throw(1); on())
CASE(throw_after, __accept, "tc", off(); on(); if (chance) bpf_throw(1))
CASE(callback, __accept, "tc", bpf_loop(3, balanced_in_callback, NULL, 0))
CASE(callback_in_section, __accept, "tc", off(); bpf_loop(3, balanced_in_callback, NULL, 0); on())
CASE(callback_leaves_one, __reject(OPEN), "tc", bpf_loop(3, callback_disables, NULL, 0))
CASE(in_a_loop, __accept, "tc", int i; bpf_for(i, 0, 3) { off(); on(); })
CASE(around_a_loop, __accept, "tc", int i; off(); bpf_for(i, 0, 3) variable += i; on())
CASE(iterator_left, __reject("would lead to reference leak"), "tc", struct bpf_iter_num it; off();
     bpf_iter_num_new(&it, 0, 3))
