/* SPDX-License-Identifier: Apache-2.0 */
/* Sections without interrupts: their flags, how they nest, and what may be called in them. */
#include "oracle.h"

#define global __weak __noinline
#define OPEN "cannot be used inside bpf_local_irq_save-ed region"
#define UNINIT "expected uninitialized irq flag as arg#0"
#define INIT "expected an initialized irq flag as arg#0"
#define ORDER "cannot restore irq state out of order"
#define SLEEPS "global functions that may sleep are not allowed in non-sleepable context"
#define chance (bpf_get_prandom_u32() & 1)

struct node {
	__u64 n;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} others SEC(".maps");

__u64 variable;

static __noinline void begin(unsigned long *flags)
{
	bpf_local_irq_save(flags);
}

static __noinline void end(unsigned long *flags)
{
	bpf_local_irq_restore(flags);
}

static __noinline void begin_own(void)
{
	unsigned long flags;

	bpf_local_irq_save(&flags);
	use(&flags);
}

static __noinline void both(void)
{
	unsigned long flags;

	bpf_local_irq_save(&flags);
	bpf_local_irq_restore(&flags);
}

global int pure(int n)
{
	return n + 1;
}

global int has_one(int n)
{
	both();
	return n;
}

global int leaves_one(int n)
{
	unsigned long flags;

	bpf_local_irq_save(&flags);
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

#define CASE(name, verdict, section, body)             \
	SEC(section) verdict int name(void *ctx)       \
	{                                              \
		unsigned long f1, f2, f3;              \
		(void)f1, (void)f2, (void)f3;          \
		body;                                  \
		return 0;                              \
	}

#define save bpf_local_irq_save
#define restore bpf_local_irq_restore

/* -------------------------------------------------------------- pairs */

CASE(balanced, __accept, "tc", save(&f1); restore(&f1))
CASE(never_restored, __reject("BPF_EXIT instruction in main prog " OPEN), "tc", save(&f1))
CASE(restored_sometimes, __reject(OPEN), "tc", save(&f1); if (chance) restore(&f1))
CASE(nested, __accept, "tc", save(&f1); save(&f2); save(&f3); restore(&f3); restore(&f2);
     restore(&f1))
CASE(one_left, __reject(OPEN), "tc", save(&f1); save(&f2); restore(&f2))
CASE(out_of_order, __reject(ORDER), "tc", save(&f1); save(&f2); restore(&f1); restore(&f2))
CASE(middle_first, __reject(ORDER), "tc", save(&f1); save(&f2); save(&f3); restore(&f2);
     restore(&f3); restore(&f1))
CASE(one_after_the_other, __accept, "tc", save(&f1); restore(&f1); save(&f2); restore(&f2))
CASE(again_by_the_same, __accept, "tc", save(&f1); restore(&f1); save(&f1); restore(&f1))
CASE(saved_twice, __reject(UNINIT), "tc", save(&f1); save(&f1); restore(&f1))
CASE(restored_twice, __reject(INIT), "tc", save(&f1); restore(&f1); restore(&f1))
CASE(never_saved, __reject(INIT), "tc", use(&f1); restore(&f1))
CASE(saved_sometimes, __reject(INIT), "tc", use(&f1); if (chance) save(&f1); restore(&f1))
CASE(by_one_of_two, __accept, "tc",
     if (chance) { save(&f1); restore(&f1); } else { save(&f2); restore(&f2); })

/* -------------------------------------------------------------- places */

CASE(in_a_global, __reject("arg#0 doesn't point to an irq flag on stack"), "tc",
     save((void *)&variable))
CASE(in_the_context, __reject("arg#0 doesn't point to an irq flag on stack"), "tc", save(ctx))
CASE(null, __reject("arg#0 doesn't point to an irq flag on stack"), "tc", save(NULL))
CASE(unaligned, __reject(UNINIT), "tc", char b[16] __attribute__((aligned(8)));
     save((void *)(b + 1)))
CASE(written_over, __reject(INIT), "tc", save(&f1); *(volatile unsigned long *)&f1 = 5;
     restore(&f1))
CASE(written_partly, __reject(INIT), "tc", save(&f1); *(volatile char *)&f1 = 5; restore(&f1))
CASE(written_beside, __accept, "tc", volatile unsigned long beside; save(&f1); beside = 5;
     restore(&f1))
CASE(read, __reject("invalid read from stack"), "tc", save(&f1);
     variable = *(volatile unsigned long *)&f1; restore(&f1))
CASE(read_after, __accept, "tc", save(&f1); restore(&f1);
     variable = *(volatile unsigned long *)&f1)
CASE(read_by_helper, __reject("invalid read from stack"), "tc", save(&f1);
     bpf_trace_printk((void *)&f1, 8); restore(&f1))
CASE(written_by_helper, __reject(INIT), "tc", save(&f1);
     bpf_probe_read_kernel(&f1, sizeof(f1), ctx); restore(&f1))
CASE(over_an_iterator, __reject("would lead to reference leak"), "tc", struct bpf_iter_num it;
     bpf_iter_num_new(&it, 0, 3); save((void *)&it); restore((void *)&it))
CASE(iterator_over_it, __reject(INIT), "tc", struct bpf_iter_num it; save((void *)&it);
     bpf_iter_num_new(&it, 0, 3); restore((void *)&it); bpf_iter_num_destroy(&it))
CASE(variable_place, __reject(UNINIT), "tc", unsigned long fs[4]; use(fs);
     save(&fs[bpf_get_prandom_u32() & 3]))
CASE(below_the_stack, __reject("invalid write to stack"), "tc",
     char *p; asm volatile("%0 = r10" : "=r"(p)); save((void *)(p - 520)))

/* -------------------------------------------------------------- functions */

CASE(in_functions, __accept, "tc", begin(&f1); end(&f1))
CASE(in_functions_nested, __accept, "tc", begin(&f1); begin(&f2); end(&f2); end(&f1))
CASE(in_functions_out_of_order, __reject(ORDER), "tc", begin(&f1); begin(&f2); end(&f1); end(&f2))
CASE(in_a_function_alone, __accept, "tc", both())
CASE(flag_of_a_function, __reject(OPEN), "tc", begin_own())
CASE(flag_of_a_function_below, __reject(ORDER), "tc", begin(&f1); begin_own(); end(&f1))
CASE(global_function, __accept, "tc", save(&f1); pure(1); restore(&f1))
CASE(global_function_has_one, __accept, "tc", save(&f1); has_one(1); restore(&f1))
CASE(global_function_leaves_one, __reject("BPF_EXIT instruction in main prog " OPEN), "tc",
     leaves_one(1))

/* -------------------------------------------------------------- what may be called */

CASE(lookup, __accept, "tc", save(&f1); bpf_map_lookup_elem(&numbers, &(__u32){0}); restore(&f1))
CASE(allocation, __accept, "tc", save(&f1); struct node *p = bpf_obj_new(struct node);
     if (p) bpf_obj_drop(p); restore(&f1))
CASE(helper_sleeps, __reject("sleepable helper bpf_copy_from_user#148 in IRQ-disabled region"),
     "syscall", char b[8]; save(&f1); bpf_copy_from_user(b, 8, NULL); restore(&f1))
CASE(helper_sleeps_after, __accept, "syscall", char b[8]; save(&f1); restore(&f1);
     bpf_copy_from_user(b, 8, NULL))
CASE(global_sleeps, __reject(SLEEPS), "syscall", save(&f1); sleeps(1); restore(&f1))
CASE(global_sleeps_deeper, __reject(SLEEPS), "syscall", save(&f1); sleeps_deeper(1); restore(&f1))
CASE(global_sleeps_after, __accept, "syscall", save(&f1); restore(&f1); sleeps_deeper(1))
CASE(global_does_not_sleep, __accept, "syscall", save(&f1); pure(1); restore(&f1))
CASE(in_an_rcu_section, __accept, "tc", bpf_rcu_read_lock(); save(&f1); restore(&f1);
     bpf_rcu_read_unlock())
CASE(rcu_section_across, __accept, "tc", save(&f1); bpf_rcu_read_lock(); restore(&f1);
     bpf_rcu_read_unlock())
CASE(tail_call, __reject("tail_call " OPEN), "tc", save(&f1); bpf_tail_call(ctx, &others, 0);
     restore(&f1))
CASE(tail_call_after, __accept, "tc", save(&f1); restore(&f1); bpf_tail_call(ctx, &others, 0))
CASE(throw, __reject("bpf_throw " OPEN), "tc", save(&f1); if (chance) bpf_throw(1); restore(&f1))
CASE(throw_after, __accept, "tc", save(&f1); restore(&f1); if (chance) bpf_throw(1))

/* -------------------------------------------------------------- loops and callbacks */

static long in_callback(__u32 i, void *ctx)
{
	both();
	return 0;
}

static long callback_begins(__u32 i, unsigned long *flags)
{
	bpf_local_irq_save(flags);
	return 1;
}

static long callback_ends(__u32 i, unsigned long *flags)
{
	bpf_local_irq_restore(flags);
	return 1;
}

CASE(callback, __accept, "tc", bpf_loop(3, in_callback, NULL, 0))
CASE(callback_in_section, __accept, "tc", save(&f1); bpf_loop(3, in_callback, NULL, 0);
     restore(&f1))
CASE(begun_in_callback, __reject(INIT), "tc", use(&f1); bpf_loop(1, callback_begins, &f1, 0);
     restore(&f1))
CASE(ended_in_callback, __reject(OPEN), "tc", save(&f1); bpf_loop(1, callback_ends, &f1, 0))
CASE(in_a_loop, __accept, "tc", int i; bpf_for(i, 0, 3) { save(&f1); restore(&f1); })
CASE(around_a_loop, __accept, "tc", int i; save(&f1); bpf_for(i, 0, 3) variable += i;
     restore(&f1))

/* Where paths meet it matters which flag is whose. */
CASE(flags_of_two_paths, __accept, "tc",
     if (chance) { save(&f1); save(&f2); } else { save(&f1); save(&f2); }
     restore(&f2); restore(&f1))
CASE(flags_the_other_way, __reject(ORDER), "tc",
     use(&f1); use(&f2);
     if (chance) { save(&f1); save(&f2); } else { save(&f2); save(&f1); }
     restore(&f2); restore(&f1))
