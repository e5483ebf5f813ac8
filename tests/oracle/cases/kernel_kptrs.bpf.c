/* SPDX-License-Identifier: Apache-2.0 */
/* Fields that own or keep objects of the kernel, in values of maps, in objects and in variables. */
#include "oracle.h"

#define CORE __attribute__((preserve_access_index))

struct pid {
	int level;
} CORE;

struct list_head {
	struct list_head *next;
} CORE;

struct thread_info {
	unsigned long flags;
} CORE;

struct signal_struct {
	int nr_threads;
} CORE;

struct task_struct {
	struct thread_info thread_info;
	int pid;
	struct task_struct *real_parent;
	struct list_head tasks;
	struct signal_struct *signal;
} CORE;

struct cgroup {
	int level;
} CORE;

struct file {
	unsigned int f_flags;
} CORE;

struct bpf_cpumask {
	int usage;
} CORE;

struct prog_test_member {
	int m;
} CORE;

struct sock {
	int unused;
} CORE;

__kptr_type(struct bpf_cpumask);
__kptr_type(struct prog_test_member);
__kptr_type(struct sock);
__kptr_type(struct file);

extern struct task_struct *bpf_task_acquire(struct task_struct *p) __ksym;
extern struct task_struct *bpf_task_from_pid(__s32 pid) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;
extern struct cgroup *bpf_cgroup_acquire(struct cgroup *cgrp) __ksym;
extern struct cgroup *bpf_cgroup_from_id(__u64 id) __ksym;
extern void bpf_cgroup_release(struct cgroup *cgrp) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

struct ticket {
	__u64 number;
};

struct room {
	__u64 number;
	struct task_struct __kptr *task;
	struct cgroup __kptr *group;
	struct ticket __kptr *ticket;
	struct file __kptr_untrusted *file;
	struct task_struct __kptr_untrusted *last;
	struct thread_info __kptr_untrusted *info;
};

struct rarer {
	struct bpf_cpumask __kptr *mask;
	struct prog_test_member __kptr *member;
	struct task_struct __percpu_kptr *task;
	struct sock __kptr_untrusted *sock;
};

struct keeper {
	__u64 id;
	struct task_struct __kptr *task;
	struct ticket __kptr *ticket;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct room);
} rooms SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct room);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct room);
} percpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct rarer);
} rarer SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct room);
} inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { &inner } };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct { struct bpf_spin_lock lock; struct task_struct __kptr *task; });
} locked SEC(".maps");

private(A) struct task_struct __kptr *hero;
private(A) struct cgroup __kptr *home;

static __always_inline void *value_of(void *map)
{
	__u32 key = bpf_get_prandom_u32();

	return bpf_map_lookup_elem(map, &key);
}

/* Programs about a room. */
#define ROOM(section, verdict, name, body)                                                    \
	SEC(section) verdict int name(void *ctx)                                              \
	{                                                                                     \
		struct room *r = value_of(&rooms);                                            \
		struct task_struct *t, *u;                                                    \
		struct cgroup *g;                                                             \
		struct file *f;                                                               \
		struct ticket *k;                                                             \
                                                                                              \
		if (!r)                                                                       \
			return 0;                                                             \
		body;                                                                         \
		return 0;                                                                     \
	}

/* The first program that takes one is as its caller likes it. */
#define ACQUIRE(t) ({ t = bpf_task_from_pid(1); if (!t) return 0; t; })
#define RELEASE(t) ({ if (t) bpf_task_release(t); })
#define READ(t) use(*(volatile int *)&(t)->pid)

/* ---------------------------------------------------------------------------- looked at */

ROOM("tc", __accept, look, t = r->task; if (t) READ(t))
ROOM("tc", __reject("R1 invalid mem access 'rcu_ptr_or_null_'"), look_unchecked, t = r->task; READ(t))
ROOM("tc", __accept, look_and_acquire,
     t = r->task; if (t) { t = bpf_task_acquire(t); RELEASE(t); })
ROOM("tc", __reject("Possibly NULL pointer passed to trusted arg0"), look_and_acquire_unchecked,
     t = r->task; t = bpf_task_acquire(t); RELEASE(t))
ROOM("tc", __reject("R1 must be referenced or trusted"), look_and_release,
     t = r->task; if (t) bpf_task_release(t))
ROOM("tc", __accept, look_at_a_group,
     g = r->group; if (g) { g = bpf_cgroup_acquire(g); if (g) bpf_cgroup_release(g); })
ROOM("tc", __reject("expected pointer to STRUCT cgroup but R1 has a pointer to STRUCT task_struct"),
     look_as_another,
     t = r->task; if (t) { g = bpf_cgroup_acquire((void *)t); if (g) bpf_cgroup_release(g); })
ROOM("tc", __accept, look_at_the_parent,
     t = r->task; if (t) { t = t->real_parent; READ(t); })
ROOM("tc", __reject("only read is supported"), look_and_write, t = r->task; if (t) t->pid = 1)
ROOM("tc", __reject("R2 must be referenced when passed to release function"), look_and_put_back,
     t = r->task; if (t) { t = bpf_kptr_xchg(&r->task, t); RELEASE(t); })

ROOM("syscall", __accept, sleepable_look, t = r->task; if (t) READ(t))
ROOM("syscall", __reject("R1 invalid mem access 'untrusted_ptr_or_null_'"), sleepable_look_unchecked,
     t = r->task; READ(t))
ROOM("syscall", __reject("R1 must be a rcu pointer"), sleepable_look_and_acquire,
     t = r->task; if (t) { t = bpf_task_acquire(t); RELEASE(t); })
ROOM("syscall", __accept, look_in_a_section_and_acquire,
     bpf_rcu_read_lock(); t = r->task;
     if (!t) { bpf_rcu_read_unlock(); return 0; }
     t = bpf_task_acquire(t); bpf_rcu_read_unlock(); RELEASE(t))
ROOM("syscall", __reject("R1 must be a rcu pointer"), look_in_a_section_and_acquire_after,
     bpf_rcu_read_lock(); t = r->task;
     if (!t) { bpf_rcu_read_unlock(); return 0; }
     bpf_rcu_read_unlock(); t = bpf_task_acquire(t); RELEASE(t))
ROOM("syscall", __accept, look_in_a_section_and_read_after,
     bpf_rcu_read_lock(); t = r->task;
     if (!t) { bpf_rcu_read_unlock(); return 0; }
     bpf_rcu_read_unlock(); READ(t))

ROOM("tc", __accept, look_at_what_is_kept, f = r->file; if (f) use(*(volatile int *)&f->f_flags))
ROOM("tc", __reject("R1 invalid mem access 'untrusted_ptr_or_null_'"), look_at_what_is_kept_unchecked,
     f = r->file; use(*(volatile int *)&f->f_flags))
ROOM("tc", __reject("R1 must be a rcu pointer"), acquire_what_is_kept,
     t = r->last; if (t) { t = bpf_task_acquire(t); RELEASE(t); })

#define RARER(section, verdict, name, body)                                                   \
	SEC(section) verdict int name(void *ctx)                                              \
	{                                                                                     \
		struct rarer *r = value_of(&rarer);                                           \
		struct task_struct *t;                                                        \
                                                                                              \
		if (!r)                                                                       \
			return 0;                                                             \
		body;                                                                         \
		return 0;                                                                     \
	}

RARER("tc", __reject("R1 invalid mem access 'rcu_ptr_or_null_'"), look_at_a_mask,
      use(*(volatile int *)r->mask))
RARER("tc", __reject("R1 invalid mem access 'untrusted_ptr_or_null_'"), look_at_what_rcu_does_not_keep,
      use(*(volatile int *)r->member))
RARER("tc", __reject("R1 invalid mem access 'untrusted_ptr_or_null_'"), look_at_a_socket,
      use(*(volatile int *)r->sock))
RARER("tc", __reject("R1 invalid mem access 'percpu_rcu_ptr_or_null_'"), look_per_cpu,
      t = (void *)r->task; READ(t))
RARER("tc", __reject("access percpu memory"), look_per_cpu_checked,
      t = (void *)r->task; if (t) READ(t))
RARER("tc", __accept, take_per_cpu,
      t = (void *)(bpf_kptr_xchg)(&r->task, NULL); RELEASE(t))
RARER("tc", __reject("is tagged __percpu_kptr") __kernel_accepts
      __reason("Linux looks for a destructor that it never asked for when the map goes"),
      put_per_cpu,
      ACQUIRE(t); t = (void *)(bpf_kptr_xchg)(&r->task, t); RELEASE(t))

/* ---------------------------------------------------------------------------- exchanged */

ROOM("tc", __accept, put, ACQUIRE(t); t = bpf_kptr_xchg(&r->task, t); RELEASE(t))
ROOM("tc", __reject("reference leak"), put_and_lose_the_old, ACQUIRE(t); bpf_kptr_xchg(&r->task, t))
ROOM("tc", __reject("Possibly NULL pointer passed to helper arg2"), put_unchecked,
     t = bpf_task_from_pid(1); t = bpf_kptr_xchg(&r->task, t); RELEASE(t))
ROOM("tc", __reject("R6 invalid mem access 'scalar'"), put_and_use,
     ACQUIRE(t); u = bpf_kptr_xchg(&r->task, t); RELEASE(u); READ(t))
ROOM("tc", __reject("invalid kptr access, R2 type=ptr_task_struct expected=ptr_cgroup"), put_another,
     ACQUIRE(t); g = (void *)(bpf_kptr_xchg)(&r->group, t); if (g) bpf_cgroup_release(g))
ROOM("tc", __reject("invalid kptr access, R2 type=ptr_ticket expected=ptr_task_struct"), put_own,
     k = bpf_obj_new(struct ticket);
     if (!k) return 0;
     t = (void *)(bpf_kptr_xchg)(&r->task, k); RELEASE(t); bpf_obj_drop(k))
ROOM("tc", __reject("invalid kptr access, R2 type=ptr_task_struct expected=ptr_ticket"), put_as_own,
     ACQUIRE(t); k = (void *)(bpf_kptr_xchg)(&r->ticket, t); if (k) bpf_obj_drop(k))
ROOM("tc", __accept, put_own_as_own,
     k = bpf_obj_new(struct ticket);
     if (!k) return 0;
     k = bpf_kptr_xchg(&r->ticket, k); if (k) bpf_obj_drop(k))
ROOM("tc", __reject("invalid kptr access"), put_at_an_offset,
     ACQUIRE(t); t = (void *)(bpf_kptr_xchg)(&r->task, (void *)t + 8); RELEASE(t))
ROOM("tc", __reject("negative offset ptr_ ptr R2 off=-8 disallowed"), put_before,
     ACQUIRE(t); t = (void *)(bpf_kptr_xchg)(&r->task, (void *)t - 8); RELEASE(t))
ROOM("tc", __reject("variable ptr_ access var_off=(0x0; 0x8) disallowed"), put_at_an_index,
     ACQUIRE(t);
     t = (void *)(bpf_kptr_xchg)(&r->task, (void *)t + (bpf_get_prandom_u32() & 8)); RELEASE(t))
ROOM("tc", __reject("R2 must be referenced when passed to release function"), put_the_current,
     t = bpf_get_current_task_btf(); t = bpf_kptr_xchg(&r->task, t); RELEASE(t))
ROOM("tc", __accept, put_the_current_acquired,
     t = bpf_get_current_task_btf(); t = bpf_task_acquire(t);
     if (!t) return 0;
     t = bpf_kptr_xchg(&r->task, t); RELEASE(t))
ROOM("tc", __reject("R2 type=untrusted_ptr_ expected=ptr_, trusted_ptr_, rcu_ptr_"), put_what_is_kept,
     t = r->last;
     if (!t) return 0;
     t = bpf_kptr_xchg(&r->task, t); RELEASE(t))
ROOM("tc", __accept, take, t = bpf_kptr_xchg(&r->task, NULL); RELEASE(t))
ROOM("tc", __reject("reference leak"), take_and_lose, t = bpf_kptr_xchg(&r->task, NULL); if (t) READ(t))
ROOM("tc", __reject("Possibly NULL pointer passed to trusted arg0"), take_and_release_unchecked,
     t = bpf_kptr_xchg(&r->task, NULL); bpf_task_release(t))
ROOM("tc", __reject("type=scalar expected=ptr_, trusted_ptr_, rcu_ptr_"), take_and_put_after_release,
     t = bpf_kptr_xchg(&r->task, NULL);
     if (!t) return 0;
     bpf_task_release(t); t = bpf_kptr_xchg(&r->task, t); RELEASE(t))
ROOM("tc", __accept, take_and_put_back,
     t = bpf_kptr_xchg(&r->task, NULL);
     if (!t) return 0;
     t = bpf_kptr_xchg(&r->task, t); RELEASE(t))
ROOM("tc", __reject("expected pointer to STRUCT cgroup but R1 has a pointer to STRUCT task_struct"),
     take_as_another,
     g = (void *)(bpf_kptr_xchg)(&r->task, NULL); if (g) bpf_cgroup_release(g))
ROOM("tc", __accept, take_a_group,
     g = bpf_kptr_xchg(&r->group, NULL); if (g) bpf_cgroup_release(g))
ROOM("tc", __reject("kptr isn't referenced kptr"), take_what_is_kept,
     t = bpf_kptr_xchg(&r->last, NULL); RELEASE(t))
ROOM("tc", __reject("arg#0 expected pointer to allocated object"), take_and_drop,
     t = bpf_kptr_xchg(&r->task, NULL); if (t) bpf_obj_drop(t))
ROOM("tc", __reject("doesn't have constant offset"), take_at_an_index,
     t = (void *)(bpf_kptr_xchg)((void *)&r->task + (bpf_get_prandom_u32() & 8), NULL); RELEASE(t))
ROOM("syscall", __accept, sleepable_put, ACQUIRE(t); t = bpf_kptr_xchg(&r->task, t); RELEASE(t))

/* -------------------------------------------------------------------------- plain stores */

#define STORE(field, value) (*(volatile typeof(field) *)&(field) = (void *)(value))

ROOM("tc", __reject("store to referenced kptr disallowed"), store_owned,
     t = bpf_get_current_task_btf(); STORE(r->task, t))
ROOM("tc", __reject("store to referenced kptr disallowed"), store_null_over_owned, STORE(r->task, NULL))
ROOM("tc", __accept, store_null, STORE(r->last, NULL))
ROOM("tc", __reject("BPF_ST imm must be 0 when storing to kptr at off=40"), store_number,
     asm volatile("*(u64 *)(%0 + 40) = 1" : : "r"(r) : "memory"))
ROOM("tc", __accept, store_current, t = bpf_get_current_task_btf(); STORE(r->last, t))
ROOM("tc", __reject("invalid kptr access, R1 type=trusted_ptr_task_struct expected=ptr_file or untrusted_ptr_file"),
     store_another,
     t = bpf_get_current_task_btf();
     asm volatile("r1 = %1; *(u64 *)(%0 + 32) = r1" : : "r"(r), "r"(t) : "r1", "memory"))
ROOM("tc", __accept, store_referenced,
     ACQUIRE(t); STORE(r->last, t); bpf_task_release(t))
ROOM("tc", __reject("reference leak"), store_referenced_and_lose, ACQUIRE(t); STORE(r->last, t))
ROOM("tc", __accept, store_seen, t = r->task; STORE(r->last, t))
ROOM("tc", __accept, store_kept, t = r->last; STORE(r->last, t))
ROOM("tc", __accept, store_parent, t = bpf_get_current_task_btf(); t = t->real_parent; STORE(r->last, t))
ROOM("tc", __accept, store_first_member, t = bpf_get_current_task_btf(); STORE(r->info, &t->thread_info))
ROOM("tc", __reject("invalid kptr access"), store_other_member,
     t = bpf_get_current_task_btf(); STORE(r->info, &t->tasks))
ROOM("tc", __reject("invalid kptr access"), store_moved,
     t = bpf_get_current_task_btf(); STORE(r->last, (void *)t + 8))
ROOM("tc", __reject("invalid kptr access"), store_own,
     k = bpf_obj_new(struct ticket);
     if (!k) return 0;
     STORE(r->file, k); bpf_obj_drop(k))
ROOM("tc", __reject("kptr access size must be BPF_DW"), store_half,
     *(volatile __u32 *)&r->last = 0)
ROOM("tc", __reject("kptr access cannot have variable offset"), store_at_an_index,
     *(void *volatile *)((void *)&r->file + (bpf_get_prandom_u32() & 8)) = NULL)
ROOM("tc", __reject("kptr access misaligned"), load_misaligned,
     use(*(volatile __u32 *)((void *)&r->last + 4)))
ROOM("tc", __reject("kptr in map can only be accessed using BPF_MEM instruction mode"), store_atomically,
     __sync_fetch_and_add((__u64 *)&r->last, 1))
ROOM("tc", __reject("kptr cannot be accessed indirectly by helper"), helper_reads,
     __u32 key = 0; bpf_map_update_elem(&hash, &key, r, BPF_ANY))

/* -------------------------------------------------------------------- other places for them */

#define PUT(place) ({ struct task_struct *t; ACQUIRE(t); t = bpf_kptr_xchg(place, t); RELEASE(t); })

#define ELSEWHERE(verdict, name, body)                                                        \
	SEC("tc") verdict int name(void *ctx)                                                 \
	{                                                                                     \
		body;                                                                         \
		return 0;                                                                     \
	}

ELSEWHERE(__accept, hash_put, struct room *r = value_of(&hash); if (r) PUT(&r->task))
ELSEWHERE(__accept, percpu_put, struct room *r = value_of(&percpu); if (r) PUT(&r->task))
ELSEWHERE(__accept, inner_put,
	  void *map = value_of(&outer);
	  if (!map) return 0;
	  struct room *r = value_of(map); if (r) PUT(&r->task))
ELSEWHERE(__reject("expected=map_value"), inner_put_unchecked,
	  void *map = value_of(&outer);
	  if (!map) return 0;
	  struct room *r = value_of(map); PUT((void *)r))
ELSEWHERE(__accept, variable_put, PUT(&hero))
ELSEWHERE(__reject("invalid kptr access, R2 type=ptr_task_struct expected=ptr_cgroup"), variable_put_another,
	  struct task_struct *t; ACQUIRE(t); t = (void *)(bpf_kptr_xchg)(&home, t); RELEASE(t))
ELSEWHERE(__accept, variable_look,
	  struct task_struct *t = hero; if (t) { t = bpf_task_acquire(t); RELEASE(t); })
ELSEWHERE(__reject("Possibly NULL pointer passed to trusted arg0"), variable_look_unchecked,
	  struct task_struct *t = bpf_task_acquire(hero); RELEASE(t))

#define KEEPER(verdict, name, body)                                                           \
	ELSEWHERE(verdict, name,                                                              \
		  struct keeper *o = bpf_obj_new(struct keeper);                              \
		  struct task_struct *t;                                                      \
		  if (!o) return 0;                                                           \
		  body; bpf_obj_drop(o))

KEEPER(__accept, object_put,
       t = bpf_task_from_pid(1); if (t) { t = bpf_kptr_xchg(&o->task, t); RELEASE(t); })
KEEPER(__reject("reference leak"), object_put_and_lose,
       t = bpf_task_from_pid(1); if (t) bpf_kptr_xchg(&o->task, t))
KEEPER(__reject("invalid kptr access, R2 type=ptr_task_struct expected=ptr_ticket"), object_put_as_own,
       t = bpf_task_from_pid(1); if (t) { t = (void *)(bpf_kptr_xchg)(&o->ticket, t); RELEASE(t); })
KEEPER(__reject("direct access to kptr is disallowed"), object_look, use(*(void *volatile *)&o->task))

static __noinline struct task_struct *take_it(struct room *r)
{
	return bpf_kptr_xchg(&r->task, NULL);
}

ROOM("tc", __accept, taken_by_callee, t = take_it(r); RELEASE(t))
ROOM("tc", __reject("reference leak"), taken_by_callee_and_lost, t = take_it(r); if (t) READ(t))

/* What a loop carries is another object each time. */
ROOM("tc", __accept, exchanged_in_a_loop,
     t = NULL;
     for (int i = 0; i < 8; i++) {
	     RELEASE(t);
	     t = bpf_kptr_xchg(&r->task, NULL);
     }
     RELEASE(t))
ROOM("tc", __reject("reference leak"), exchanged_in_a_loop_and_lost,
     t = NULL;
     for (int i = 0; i < 8; i++)
	     t = bpf_kptr_xchg(&r->task, NULL);
     RELEASE(t))
