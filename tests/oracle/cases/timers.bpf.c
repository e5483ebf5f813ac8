/* SPDX-License-Identifier: Apache-2.0 */
/* Timers and work queues: where they are, and the functions that are called apart from the program. */
#include "oracle.h"

#define global __weak __noinline
#define LATE "At async callback return the register R0 has"
#define chance (bpf_get_prandom_u32() & 1)

struct node {
	__u64 n;
};

struct elem {
	__u64 n;
	struct bpf_timer timer;
};

struct work {
	struct bpf_wq wq;
	__u64 n;
};

struct both {
	struct bpf_spin_lock lock;
	struct bpf_timer timer;
	struct bpf_wq wq;
};

struct plain {
	__u64 n;
};

#define MAP(name, kind, type_)                 \
	struct {                               \
		__uint(type, kind);            \
		__uint(max_entries, 4);        \
		__type(key, __u32);            \
		__type(value, type_);          \
	} name SEC(".maps")

MAP(elems, BPF_MAP_TYPE_ARRAY, struct elem);
MAP(others, BPF_MAP_TYPE_ARRAY, struct elem);
MAP(hash, BPF_MAP_TYPE_HASH, struct elem);
MAP(lru, BPF_MAP_TYPE_LRU_HASH, struct elem);
MAP(works, BPF_MAP_TYPE_ARRAY, struct work);
MAP(boths, BPF_MAP_TYPE_ARRAY, struct both);
MAP(plains, BPF_MAP_TYPE_ARRAY, struct plain);
MAP(per_cpu, BPF_MAP_TYPE_PERCPU_ARRAY, struct plain);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} programs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} kept SEC(".maps");

private(A) struct bpf_spin_lock lock;

__u64 variable;

#define value_of(map) bpf_map_lookup_elem(&map, &(__u32){ bpf_get_prandom_u32() })

#define LATER(name, body)                                             \
	static int name(void *map, __u32 *key, struct elem *value)    \
	{                                                             \
		body;                                                 \
		return 0;                                             \
	}

global int sleeps(int n)
{
	char b[8];

	return bpf_copy_from_user(b, sizeof(b), NULL) & n;
}

global int pure(int n)
{
	return n;
}

global int throws(int n)
{
	if (n)
		bpf_throw(n);
	return 0;
}

static __noinline int takes_stack(int n)
{
	volatile char b[300] = {};

	return b[n & 127];
}

LATER(nothing, )
LATER(uses_all, value->n += *key)
LATER(looks_up, struct elem *e = bpf_map_lookup_elem(map, key); if (e) e->n = 1)
LATER(starts_again, bpf_timer_start(&value->timer, 1000, 0))
LATER(cancels, bpf_timer_cancel(&value->timer))
LATER(sets_again, bpf_timer_set_callback(&value->timer, nothing))
LATER(deletes, bpf_map_delete_elem(map, key))
LATER(allocates, struct node *n = bpf_obj_new(struct node); if (n) bpf_obj_drop(n))
LATER(leaks, bpf_obj_new(struct node))
LATER(keeps_lock, bpf_spin_lock(&lock))
LATER(locks, bpf_spin_lock(&lock); bpf_spin_unlock(&lock))
LATER(keeps_section, bpf_rcu_read_lock())
LATER(disables, bpf_preempt_disable())
LATER(writes_key, *(volatile __u32 *)key = 1)
LATER(reads_beyond, variable = ((volatile __u64 *)value)[3])
LATER(reads_timer, variable = *(volatile __u64 *)&value->timer)
LATER(sleeps_itself, char b[8]; bpf_copy_from_user(b, 8, NULL))
LATER(finds_storage, bpf_task_storage_get(&kept, bpf_get_current_task_btf(), NULL, 0))
LATER(creates_storage, bpf_task_storage_get(&kept, bpf_get_current_task_btf(), NULL, 1))
LATER(sleeps_below, sleeps(1))
LATER(calls_global, pure(1))
LATER(throws_nothing, bpf_throw(0))
LATER(throws_itself, bpf_throw(1))
LATER(throws_below, throws(1))
LATER(stack_of_its_own, takes_stack(*key))
LATER(too_much_stack, volatile char b[300] = {}; variable = b[*key & 127]; takes_stack(*key))

static int sets_itself(void *map, __u32 *key, struct elem *value)
{
	bpf_timer_set_callback(&value->timer, sets_itself);
	return 0;
}

static int gives_one(void *map, __u32 *key, struct elem *value)
{
	return 1;
}

static int gives_any(void *map, __u32 *key, struct elem *value)
{
	return bpf_get_prandom_u32();
}

static int gives_zero_if(void *map, __u32 *key, struct elem *value)
{
	int n = bpf_get_prandom_u32();

	return n ? 0 : n;
}

static int takes_more(void *map, __u32 *key, struct elem *value, void *more)
{
	return *(volatile int *)more;
}

static int work_sleeps(void *map, int *key, void *value)
{
	char b[8];

	bpf_copy_from_user(b, 8, NULL);
	return 0;
}

static int work_uses(void *map, int *key, void *value)
{
	struct work *w = value;

	w->n = *key;
	bpf_wq_start(&w->wq, 0);
	return 0;
}

static int work_gives_one(void *map, int *key, void *value)
{
	return 1;
}

static int work_sleeps_in_section(void *map, int *key, void *value)
{
	char b[8];

	bpf_rcu_read_lock();
	bpf_copy_from_user(b, 8, NULL);
	bpf_rcu_read_unlock();
	return 0;
}

static int work_sleeps_globally(void *map, int *key, void *value)
{
	sleeps(1);
	return 0;
}

static long looped(__u32 i, void *ctx)
{
	return 0;
}

#define CASE(name, verdict, section, body)             \
	SEC(section) verdict int name(void *ctx)       \
	{                                              \
		body;                                  \
		return 0;                              \
	}
#define WITH(name, verdict, section, body)             \
	CASE(name, verdict, section, struct elem *e = value_of(elems); if (!e) return 0; body)
#define SETS(name, verdict, section, callback)         \
	WITH(name, verdict, section, bpf_timer_set_callback(&e->timer, callback))
#define WORKS(name, verdict, section, body)            \
	CASE(name, verdict, section, struct work *w = value_of(works); if (!w) return 0; body)

/* -------------------------------------------------------------- where it is */

WITH(all_of_it, __accept, "tc", bpf_timer_init(&e->timer, &elems, 1);
     bpf_timer_set_callback(&e->timer, nothing); bpf_timer_start(&e->timer, 1000, 0);
     bpf_timer_cancel(&e->timer))
CASE(of_a_hash, __accept, "tc", struct elem *e = value_of(hash);
     if (e) bpf_timer_init(&e->timer, &hash, 1))
CASE(of_an_lru, __accept, "tc", struct elem *e = value_of(lru);
     if (e) bpf_timer_init(&e->timer, &lru, 1))
CASE(unchecked, __reject("expected=map_value"), "tc",
     struct { struct bpf_timer t; } *e = value_of(others); asm volatile("" : "+r"(e));
     bpf_timer_cancel((void *)e))
CASE(on_the_stack, __reject("R1 type=fp expected=map_value"), "tc",
     struct bpf_timer t = {}; bpf_timer_cancel(&t))
WITH(beside_it, __reject("off 0 doesn't point to 'struct bpf_timer' that is at 8"), "tc",
     bpf_timer_cancel((void *)&e->n))
WITH(within_it, __reject("off 12 doesn't point to 'struct bpf_timer' that is at 8"), "tc",
     bpf_timer_cancel((void *)&e->timer + 4))
WITH(somewhere, __reject("doesn't have constant offset. bpf_timer has to be at the constant offset"),
     "tc", bpf_timer_cancel((void *)e + (bpf_get_prandom_u32() & 8)))
CASE(of_a_map_without, __reject("map 'plains' has no valid bpf_timer"), "tc",
     struct plain *p = value_of(plains); if (p) bpf_timer_cancel((void *)p))
WITH(of_another_map, __reject("timer pointer in R1 map_uid=0 doesn't match map pointer in R2 map_uid=0"),
     "tc", bpf_timer_init(&e->timer, &others, 1))
WITH(of_no_map, __reject("R2 type=scalar expected=map_ptr"), "tc", bpf_timer_init(&e->timer, NULL, 1))
WITH(read, __reject("bpf_timer cannot be accessed directly"), "tc",
     variable = *(volatile __u64 *)&e->timer)
WITH(written, __reject("bpf_timer cannot be accessed directly"), "tc",
     *(volatile __u64 *)&e->timer = 0)
WITH(read_beside, __accept, "tc", variable = *(volatile __u64 *)&e->n)
WITH(under_a_lock, __reject("function calls are not allowed while holding a lock"), "tc",
     bpf_spin_lock(&lock); bpf_timer_cancel(&e->timer); bpf_spin_unlock(&lock))
CASE(beside_a_lock, __accept, "tc", struct both *b = value_of(boths); if (!b) return 0;
     bpf_timer_init(&b->timer, &boths, 1); bpf_wq_init(&b->wq, &boths, 0))

/* -------------------------------------------------------------- by whom */

WITH(by_xdp, __accept, "xdp", bpf_timer_start(&e->timer, 1, 0))
WITH(by_syscall, __accept, "syscall", bpf_timer_start(&e->timer, 1, 0))
WITH(by_socket, __accept, "socket", bpf_timer_start(&e->timer, 1, 0))
WITH(by_tracepoint, __reject("tracing progs cannot use bpf_timer yet"), "tp/syscalls/sys_enter_kill",
     bpf_timer_start(&e->timer, 1, 0))
WITH(by_raw_tracepoint, __reject("tracing progs cannot use bpf_timer yet"), "raw_tp/sys_enter",
     variable = e->n)
WITH(by_perf_event, __reject("tracing progs cannot use bpf_timer yet"), "perf_event", variable = e->n)
WITH(by_kprobe, __reject("tracing progs cannot use bpf_timer yet"), "kprobe/vfs_read",
     variable = e->n)
WORKS(by_kprobe_with_work, __reject("tracing progs cannot use bpf_wq yet"), "kprobe/vfs_read",
      variable = w->n)
CASE(by_kprobe_without, __accept, "kprobe/vfs_read", struct plain *p = value_of(plains);
     if (p) variable = p->n)

/* -------------------------------------------------------------- what is called */

SETS(does_nothing, __accept, "tc", nothing)
SETS(gets_all, __accept, "tc", uses_all)
SETS(asks_the_map, __accept, "tc", looks_up)
SETS(goes_on, __accept, "tc", starts_again)
SETS(ends_it, __accept, "tc", cancels)
SETS(sets_another, __accept, "tc", sets_again)
SETS(sets_the_same, __accept, "tc", sets_itself)
SETS(deletes_it, __accept, "tc", deletes)
SETS(allocates_there, __accept, "tc", allocates)
SETS(leaks_there, __reject("would lead to reference leak"), "tc", leaks)
SETS(lock_kept, __reject("BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock"),
     "tc", keeps_lock)
SETS(lock_released, __accept, "tc", locks)
SETS(section_kept, __reject("cannot be used inside bpf_rcu_read_lock-ed region"), "tc",
     keeps_section)
SETS(preemption_off, __reject("cannot be used inside bpf_preempt_disable-ed region"), "tc",
     disables)
SETS(key_written, __reject("write to change key R"), "tc", writes_key)
SETS(value_read_beyond, __reject("invalid access to map value"), "tc", reads_beyond)
SETS(timer_read, __reject("bpf_timer cannot be accessed directly"), "tc", reads_timer)
SETS(one_given, __reject(LATE), "tc", gives_one)
SETS(any_given, __reject(LATE), "tc", gives_any)
SETS(zero_given, __accept, "tc", gives_zero_if)
SETS(more_taken, __reject("!read_ok"), "tc", takes_more)
SETS(sleeping, __reject("helper call might sleep in a non-sleepable prog"), "tc", sleeps_itself)
SETS(global_called, __accept, "tc", calls_global)
SETS(thrown, __reject("cannot be called from callback subprog"), "tc", throws_nothing)
SETS(number_thrown, __reject("At async callback return the register R1 has"), "tc", throws_itself)
SETS(thrown_below, __reject("cannot be called from callback subprog"), "tc", throws_below)
SETS(sleeping_of_sleeping, __reject("sleep"), "syscall", sleeps_itself)
SETS(storage_found, __accept, "syscall", finds_storage)
SETS(storage_created, __accept, "tc", creates_storage)
SETS(storage_created_of_sleeping, __reject("in timer callback region") __kernel_accepts
     __reason("the helper waits for memory, in an interrupt"), "syscall", creates_storage)
SETS(sleeping_below_of_sleeping, __reject("sleep"), "syscall", sleeps_below)

WITH(caller_takes_stack, __accept, "tc", volatile char b[300] = {}; variable = b[7];
     bpf_timer_set_callback(&e->timer, stack_of_its_own))
WITH(too_deep_a_stack, __reject("combined stack size of 2 calls"), "tc",
     bpf_timer_set_callback(&e->timer, too_much_stack))
WITH(called_and_set, __accept, "tc", nothing(NULL, NULL, NULL);
     bpf_timer_set_callback(&e->timer, nothing))
WITH(no_function, __reject("R2 type=scalar expected=func"), "tc",
     bpf_timer_set_callback(&e->timer, NULL))
WITH(holds_an_object, __accept, "tc", struct node *n = bpf_obj_new(struct node); if (!n) return 0;
     bpf_timer_set_callback(&e->timer, uses_all); bpf_obj_drop(n))
WITH(in_a_section, __accept, "tc", bpf_rcu_read_lock();
     bpf_timer_set_callback(&e->timer, uses_all); bpf_rcu_read_unlock())
WITH(two_functions, __accept, "tc", if (chance) bpf_timer_set_callback(&e->timer, uses_all);
     else bpf_timer_set_callback(&e->timer, nothing))
WITH(one_of_two_wrong, __reject(LATE), "tc", if (chance)
     bpf_timer_set_callback(&e->timer, uses_all); else
     bpf_timer_set_callback(&e->timer, gives_one))
WITH(loop_beside, __accept, "tc", bpf_timer_set_callback(&e->timer, nothing);
     bpf_loop(3, looped, NULL, 0))

/* -------------------------------------------------------------- work queues */

WORKS(work, __accept, "tc", bpf_wq_init(&w->wq, &works, 0);
      bpf_wq_set_callback(&w->wq, work_uses, 0); bpf_wq_start(&w->wq, 0))
WORKS(work_of_another_map, __reject("doesn't match map pointer in R2"), "tc",
      bpf_wq_init(&w->wq, &boths, 0))
WORKS(work_beside_it, __reject("off 16 doesn't point to 'struct bpf_wq' that is at 0"), "tc",
      bpf_wq_start((void *)&w->n, 0))
CASE(work_on_the_stack, __reject("arg#0 doesn't point to a map value"), "tc",
     struct bpf_wq wq = {}; bpf_wq_start(&wq, 0))
WORKS(work_and_no_map, __reject("pointer in R2 isn't map pointer"), "tc",
      bpf_wq_init(&w->wq, NULL, 0))
WORKS(work_may_sleep, __accept, "tc", bpf_wq_set_callback(&w->wq, work_sleeps, 0))
WORKS(work_may_sleep_for_all, __accept, "syscall", bpf_wq_set_callback(&w->wq, work_sleeps, 0))
WORKS(work_in_section, __reject("in rcu_read_lock region"), "tc",
      bpf_wq_set_callback(&w->wq, work_sleeps_in_section, 0))
WORKS(work_result, __reject(LATE), "tc", bpf_wq_set_callback(&w->wq, work_gives_one, 0))
WORKS(work_sleeps_in_global, __accept, "syscall",
      bpf_wq_set_callback(&w->wq, work_sleeps_globally, 0))
