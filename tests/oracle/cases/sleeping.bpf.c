/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that sleep, where they must not: by which way the program comes to them. */
#include "oracle.h"

#define global __weak __noinline

struct locked {
	struct bpf_spin_lock lock;
	__u64 n;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct locked);
} locks SEC(".maps");

global int sleeps(int n)
{
	char b[8];

	return bpf_copy_from_user(b, sizeof(b), NULL) & n;
}

/* Only for one number, which Linux does not look at. */
global int sleeps_sometimes(int n)
{
	char b[8];

	return n == 77 ? bpf_copy_from_user(b, sizeof(b), NULL) & n : n;
}

global int calls_it(int n)
{
	return sleeps(n) + 1;
}

global int calls_that(int n)
{
	return calls_it(n) + 1;
}

static __noinline int below(int n)
{
	return calls_that(n) + 1;
}

global int does_not(int n)
{
	return n + 1;
}

/* No path leads to the call; whether it sleeps is decided before paths are walked (check_cfg). */
global int never_sleeps(int n)
{
	char b[8];
	__u64 zero;

	asm volatile("%0 = 0" : "=r"(zero));
	return zero ? bpf_copy_from_user(b, sizeof(b), NULL) & n : n;
}

global int has_a_section_itself(int n)
{
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return sleeps(n);
}

global int sleeps_in_its_section(int n)
{
	bpf_rcu_read_lock();
	n = sleeps(n);
	bpf_rcu_read_unlock();
	return n;
}

#define CASE(name, verdict, section, body)              \
	SEC(section) verdict int name(void *ctx)        \
	{                                               \
		int n = bpf_get_prandom_u32() & 1;      \
                                                        \
		body;                                   \
		return n & 1;                           \
	}

#define RCU(what)               \
	bpf_rcu_read_lock();    \
	what;                   \
	bpf_rcu_read_unlock()

#define asleep __reject("global functions that may sleep")

CASE(two_globals_deep, asleep, "syscall", RCU(n = calls_it(n)))
CASE(three_globals_deep, asleep, "syscall", RCU(n = calls_that(n)))
CASE(below_a_static, asleep, "syscall", RCU(n = below(n)))
CASE(with_a_number_for_which_it_does_not, asleep, "syscall", RCU(n = sleeps_sometimes(1)))
CASE(it_is_dead_there, asleep, "syscall", RCU(n = never_sleeps(n)))
CASE(it_has_a_section_itself, asleep, "syscall", RCU(n = has_a_section_itself(n)))
CASE(on_one_path, asleep, "syscall", RCU(if (n) n = sleeps(n)))
CASE(in_a_section_on_one_path, asleep, "syscall",
     if (n) bpf_rcu_read_lock(); n = sleeps(n); barrier_var(n))
CASE(in_a_section_in_a_section, __reject("nested rcu read lock"), "syscall", RCU(RCU(n = sleeps(n))))
CASE(between_two_sections, __accept, "syscall", RCU(n++); n += sleeps(n); RCU(n++))
CASE(in_a_section_it_is_awake, __accept, "syscall", RCU(n = does_not(n)))
CASE(after_an_inner_section, __reject("nested rcu read lock"), "syscall",
     bpf_rcu_read_lock(); RCU(n++); n = sleeps(n); bpf_rcu_read_unlock())
CASE(a_helper_itself, __reject("sleepable helper bpf_copy_from_user"), "syscall",
     char b[8]; RCU(n = bpf_copy_from_user(b, 8, NULL)))
CASE(the_section_is_its_own, asleep, "syscall", n = sleeps_in_its_section(n))
CASE(never_in_tc, __reject("a non-sleepable BPF program context"), "tc", n = sleeps(n))
CASE(never_in_xdp, __reject("a non-sleepable BPF program context"), "xdp", n = calls_that(n))
CASE(dead_in_syscall, __accept, "syscall", n = never_sleeps(n))

SEC("syscall") __reject("function calls are not allowed while holding a lock")
int under_a_lock(void *ctx)
{
	__u32 key = 0;
	struct locked *l = bpf_map_lookup_elem(&locks, &key);

	if (!l)
		return 0;
	bpf_spin_lock(&l->lock);
	sleeps(1);
	bpf_spin_unlock(&l->lock);
	return 0;
}

static long sleeps_for_each(void *map, __u32 *key, struct locked *l, void *ctx)
{
	return sleeps(1) & 1;
}

SEC("syscall") __accept
int for_each_element(void *ctx)
{
	bpf_for_each_map_elem(&locks, sleeps_for_each, NULL, 0);
	return 0;
}

SEC("syscall") asleep
int for_each_element_in_a_section(void *ctx)
{
	bpf_rcu_read_lock();
	bpf_for_each_map_elem(&locks, sleeps_for_each, NULL, 0);
	bpf_rcu_read_unlock();
	return 0;
}

SEC("syscall") asleep
int in_rounds_of_an_iterator(void *ctx)
{
	int i, n = 0;

	bpf_rcu_read_lock();
	bpf_for(i, 0, 3)
		n += sleeps(i);
	bpf_rcu_read_unlock();
	return n & 1;
}

SEC("syscall") __accept
int a_section_in_each_round(void *ctx)
{
	int i, n = 0;

	bpf_for(i, 0, 3) {
		bpf_rcu_read_lock();
		n++;
		bpf_rcu_read_unlock();
		n += sleeps(i);
	}
	return n & 1;
}
