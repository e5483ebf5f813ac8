/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of global functions that are tagged as the kernel's, and what callers may pass. */
#include "oracle.h"

#define CORE __attribute__((preserve_access_index))

struct thread_info {
	unsigned long flags;
} CORE;

struct list_head {
	struct list_head *next;
} CORE;

struct mm_struct;

struct task_struct {
	struct thread_info thread_info;
	int pid;
	struct task_struct *real_parent;
	struct list_head tasks;
	struct mm_struct *mm;
} CORE;

struct task_struct___flavour {
	int pid;
} CORE;

struct mm_struct {
	unsigned long task_size;
} CORE;

struct prog_test_member {
	int m;
} CORE;

struct no_such_struct {
	int x;
};

union bpf_attr {
	int map_type;
};

union no_such_union {
	int x;
};

struct only_declared;

struct ticket {
	__u64 number;
};

enum colour { RED, GREEN };

extern struct task_struct *bpf_task_acquire(struct task_struct *p) __ksym;
extern struct task_struct *bpf_task_from_pid(__s32 pid) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

__kptr_type(struct prog_test_member);

struct room {
	struct prog_test_member __kptr *member;
	struct task_struct __kptr *task;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct room);
} rooms SEC(".maps");

typedef struct task_struct *task;

/* A global function of one parameter p. */
#define FUNCTION(name, type, tags, body)                                                      \
	__attribute__((noinline)) int name(type p tags)                                       \
	{                                                                                     \
		asm volatile("" : : : "memory");                                              \
		body;                                                                         \
		return 0;                                                                     \
	}

#define ACQUIRE(p)                                                                            \
	({                                                                                    \
		struct task_struct *___q = bpf_task_acquire(p);                               \
		if (___q)                                                                     \
			bpf_task_release(___q);                                               \
	})
#define READ(p) use(*(volatile int *)(p))

FUNCTION(acquires, task, __arg_trusted, ACQUIRE(p))
FUNCTION(acquires_checked, task, __arg_trusted __arg_nullable, if (p) ACQUIRE(p))
FUNCTION(acquires_unchecked, task, __arg_trusted __arg_nullable, ACQUIRE(p))
FUNCTION(reads_unchecked, task, __arg_trusted __arg_nullable, READ(&p->pid))
FUNCTION(releases, task, __arg_trusted, bpf_task_release(p))
FUNCTION(writes, task, __arg_trusted, p->pid = 1)
FUNCTION(walks, task, __arg_trusted, ACQUIRE(p->real_parent))
FUNCTION(trusted_nonnull, task, __arg_trusted __arg_nonnull, use(p))
FUNCTION(trusted_untrusted, task, __arg_trusted __arg_untrusted, ACQUIRE(p))
FUNCTION(trusted_context, task, __arg_trusted __arg_ctx, use(p))
FUNCTION(trusted_skb, struct __sk_buff *, __arg_trusted, use(p))
FUNCTION(trusted_flavour, struct task_struct___flavour *, __arg_trusted, READ(&p->pid))
FUNCTION(trusted_unknown, struct no_such_struct *, __arg_trusted, use(p))
FUNCTION(trusted_declared, struct only_declared *, __arg_trusted, use(p))
FUNCTION(trusted_void, void *, __arg_trusted, use(p))
FUNCTION(trusted_int, int *, __arg_trusted, use(p))
FUNCTION(trusted_int_or_null, int *, __arg_trusted __arg_nullable, use(p))
FUNCTION(trusted_number, long, __arg_trusted, use(p))
FUNCTION(trusted_info, struct thread_info *, __arg_trusted, use(*(volatile long *)&p->flags))
FUNCTION(trusted_mm, struct mm_struct *, __arg_trusted, use(p))
FUNCTION(trusted_member, struct prog_test_member *, __arg_trusted, READ(p))
FUNCTION(untrusted, task, __arg_untrusted, READ(&p->pid))
FUNCTION(untrusted_walks, task, __arg_untrusted, p = p->real_parent; READ(&p->pid))
FUNCTION(untrusted_acquires, task, __arg_untrusted, ACQUIRE(p))
FUNCTION(untrusted_passes, task, __arg_untrusted, acquires(p))
FUNCTION(trusted_passes, task, __arg_trusted, acquires(p))
FUNCTION(nullable_passes, task, __arg_trusted __arg_nullable, acquires(p))
FUNCTION(untrusted_writes, task, __arg_untrusted, p->pid = 1)
FUNCTION(untrusted_nullable, task, __arg_untrusted __arg_nullable, use(p))
FUNCTION(untrusted_nonnull, task, __arg_untrusted __arg_nonnull, use(p))
FUNCTION(untrusted_arena, task, __arg_untrusted __arg_arena, use(p))
FUNCTION(untrusted_int, int *, __arg_untrusted, READ(p))
FUNCTION(untrusted_int_far, int *, __arg_untrusted, READ(p + 1000))
FUNCTION(untrusted_int_index, int *, __arg_untrusted, READ(p + bpf_get_prandom_u32()))
FUNCTION(untrusted_int_writes, int *, __arg_untrusted, *p = 1)
FUNCTION(untrusted_int_given, int *, __arg_untrusted, bpf_trace_printk((char *)p, 4))
FUNCTION(untrusted_void, void *, __arg_untrusted, READ(p))
FUNCTION(untrusted_enum, enum colour *, __arg_untrusted, READ(p))
FUNCTION(untrusted_float, float *, __arg_untrusted, use(p))
FUNCTION(untrusted_pointer, int **, __arg_untrusted, use(p))
FUNCTION(untrusted_unknown, struct no_such_struct *, __arg_untrusted, use(p))
FUNCTION(untrusted_union, union bpf_attr *, __arg_untrusted, use(p))
FUNCTION(untrusted_other_union, union no_such_union *, __arg_untrusted, use(p))
FUNCTION(untrusted_number, long, __arg_untrusted, use(p))
FUNCTION(nullable_memory, struct ticket *, __arg_nullable, use(p))
FUNCTION(nullable_and_nonnull, struct ticket *, __arg_nullable __arg_nonnull, use(p))
FUNCTION(nullable_number, long, __arg_nullable, use(p))
FUNCTION(nonnull_number, long, __arg_nonnull, use(p))
FUNCTION(made_up, task, __attribute__((btf_decl_tag("arg:made_up"))), use(p))

static __attribute__((noinline)) int static_trusted(task p __arg_trusted)
{
	asm volatile("" : : : "memory");
	ACQUIRE(p);
	return 0;
}

static __always_inline struct room *a_room(void)
{
	__u32 key = bpf_get_prandom_u32();

	return bpf_map_lookup_elem(&rooms, &key);
}

#define CALL(section, verdict, name, body)                                                    \
	SEC(section) verdict int name(void *ctx)                                              \
	{                                                                                     \
		struct task_struct *t = bpf_get_current_task_btf();                           \
                                                                                              \
		body;                                                                         \
		return 0;                                                                     \
	}

/* ------------------------------------------------------------------------------ trusted */

CALL("tc", __accept, current, acquires(t))
CALL("tc", __reject("R1 type=scalar expected=ptr_, trusted_ptr_, rcu_ptr_"), constant_null, acquires(NULL))
CALL("tc", __accept, null_where_it_may_be, acquires_checked(NULL))
CALL("tc", __accept, current_where_null_may_be, acquires_checked(t))
CALL("tc", __reject("Possibly NULL pointer passed to trusted arg0"), used_unchecked, acquires_unchecked(t))
CALL("tc", __reject("R1 invalid mem access 'trusted_ptr_or_null_'"), read_unchecked, reads_unchecked(t))
CALL("tc", __reject("R1 type=ptr_or_null_ expected=ptr_, trusted_ptr_, rcu_ptr_"), perhaps_null,
     t = bpf_task_from_pid(1); acquires(t); if (t) bpf_task_release(t))
CALL("tc", __accept, perhaps_null_where_it_may_be,
     t = bpf_task_from_pid(1); acquires_checked(t); if (t) bpf_task_release(t))
CALL("tc", __accept, referenced,
     t = bpf_task_from_pid(1); if (!t) return 0; acquires(t); bpf_task_release(t))
CALL("tc", __reject("reference leak"), referenced_and_not_released,
     t = bpf_task_from_pid(1); if (t) acquires(t))
CALL("tc", __reject("release kernel function bpf_task_release expects refcounted PTR_TO_BTF_ID"),
     released_by_the_function, t = bpf_task_from_pid(1); if (t) { releases(t); bpf_task_release(t); })
CALL("tc", __reject("R1 type=scalar expected="), released_before,
     t = bpf_task_from_pid(1); if (!t) return 0; bpf_task_release(t); acquires(t))
CALL("tc", __reject("only read is supported"), written, writes(t))
CALL("tc", __accept, walked_in_the_function, walks(t))
CALL("syscall", __reject("R1 must be a rcu pointer"), walked_in_a_sleepable_function, walks(t))
CALL("tc", __accept, parent, acquires(t->real_parent))
CALL("syscall", __reject("R1 type=untrusted_ptr_ expected=ptr_, trusted_ptr_, rcu_ptr_"), parent_without_a_section,
     acquires(t->real_parent))
CALL("syscall", __accept, parent_in_a_section,
     bpf_rcu_read_lock(); acquires(t->real_parent); bpf_rcu_read_unlock())
CALL("tc", __reject("R1 type=ptr_ expected=trusted_ptr_, rcu_ptr_") __kernel_accepts
     __reason("the memory of a task is NULL for threads of the kernel, and what is trusted is read as it is"),
     walked, trusted_mm(t->mm))
CALL("tc", __accept, first_member, trusted_info(&t->thread_info))
CALL("tc", __accept, whole_for_the_first_member, trusted_info((void *)t))
CALL("tc", __reject("R1 is of type task_struct but task_struct is expected"), other_member, acquires((void *)&t->tasks))
CALL("tc", __reject("R1 is of type task_struct but mm_struct is expected"), another_struct, trusted_mm((void *)t))
CALL("tc", __reject("R1 is of type task_struct but task_struct is expected"), moved_back, acquires((void *)t - 8))
CALL("tc", __reject("variable trusted_ptr_ access var_off=(0x0; 0x8) disallowed"), at_an_index,
     acquires((void *)t + (bpf_get_prandom_u32() & 8)))
CALL("tc", __reject("R1 type=ctx expected=ptr_, trusted_ptr_, rcu_ptr_"), the_context, acquires(ctx))
CALL("tc", __reject("R1 type=fp expected=ptr_, trusted_ptr_, rcu_ptr_"), the_stack,
     struct ticket k = {}; acquires((void *)&k))
CALL("tc", __reject("R1 type=scalar expected=ptr_, trusted_ptr_, rcu_ptr_"), a_number,
     acquires((void *)(long)bpf_get_prandom_u32()))
CALL("tc", __reject("R1 type=ptr_ expected=ptr_, trusted_ptr_, rcu_ptr_"), an_own_object,
     struct ticket *k = bpf_obj_new(struct ticket);
     if (!k) return 0;
     acquires((void *)k); bpf_obj_drop(k))
CALL("tc", __accept, kept_task,
     struct room *r = a_room(); if (r && (t = r->task)) acquires(t))
CALL("tc", __reject("R1 type=rcu_ptr_or_null_ expected=ptr_, trusted_ptr_, rcu_ptr_"), kept_task_unchecked,
     struct room *r = a_room(); if (r) acquires(r->task))
CALL("tc", __accept, kept_task_where_null_may_be,
     struct room *r = a_room(); if (r) acquires_checked(r->task))
CALL("tc", __reject("R1 type=untrusted_ptr_ expected=ptr_, trusted_ptr_, rcu_ptr_"), kept_without_rcu,
     struct room *r = a_room(); struct prog_test_member *m; if (r && (m = r->member)) trusted_member(m))
CALL("tc", __accept, flavour, trusted_flavour((void *)t))
CALL("tc", __accept, passed_on, trusted_passes(t))
CALL("tc", __reject("R1 type=trusted_ptr_or_null_ expected=ptr_, trusted_ptr_, rcu_ptr_"), passed_on_unchecked,
     nullable_passes(t))
CALL("tc", __accept, static_function, static_trusted(t))
CALL("tc", __reject("R1 must be a rcu pointer"), static_function_of_untrusted,
     struct room *r = a_room();
     if (!r) return 0;
     t = (void *)r->member; if (t) static_trusted(t))

CALL("tc", __reject("arg#0 has invalid combination of tags"), wrong_trusted_nonnull, trusted_nonnull(t))
CALL("tc", __accept, trusted_goes_first, trusted_untrusted(t))
CALL("tc", __reject("R1 type=scalar expected="), trusted_goes_first_number, trusted_untrusted((void *)5))
CALL("tc", __reject("arg#0 has invalid combination of tags"), wrong_trusted_context, trusted_context(t))
CALL("tc", __reject("arg#0 has invalid combination of tags"), wrong_trusted_skb, trusted_skb(ctx))
CALL("tc", __reject("arg#0 reference type('STRUCT no_such_struct') has no matches"), wrong_trusted_struct,
     trusted_unknown((void *)t))
CALL("tc", __reject("arg#0 reference type('FWD only_declared') has no matches"), wrong_trusted_declared,
     trusted_declared((void *)t))
CALL("tc", __reject("arg#0 reference type('UNKNOWN (anon)') candidate matching error: -22"), wrong_trusted_void,
     trusted_void(t))
CALL("tc", __reject("R1 is of type task_struct but int is expected"), no_trusted_int, trusted_int((void *)t))
CALL("tc", __reject("R1 is of type task_struct but int is expected"), no_trusted_int_of_a_task,
     trusted_int(&t->pid))
CALL("tc", __accept, null_for_a_trusted_int, trusted_int_or_null(NULL))
CALL("tc", __reject("arg#0 has pointer tag, but is not a pointer type"), wrong_trusted_number, trusted_number(5))
CALL("tc", __reject("arg#0 has unsupported set of tags"), wrong_made_up, made_up(t))

/* ---------------------------------------------------------------------------- untrusted */

CALL("tc", __accept, untrusted_current, untrusted(t))
CALL("tc", __accept, untrusted_number_is_passed, untrusted((void *)5))
CALL("tc", __accept, untrusted_null, untrusted(NULL))
CALL("tc", __accept, untrusted_walked, untrusted((void *)t->mm))
CALL("tc", __accept, untrusted_context, untrusted(ctx))
CALL("tc", __accept, untrusted_stack, struct ticket k = {}; untrusted((void *)&k))
CALL("tc", __accept, untrusted_perhaps_null,
     t = bpf_task_from_pid(1); untrusted(t); if (t) bpf_task_release(t))
CALL("tc", __accept, untrusted_own,
     struct ticket *k = bpf_obj_new(struct ticket);
     if (!k) return 0;
     untrusted((void *)k); bpf_obj_drop(k))
CALL("tc", __reject("reference leak"), untrusted_own_and_lost,
     struct ticket *k = bpf_obj_new(struct ticket); if (k) untrusted((void *)k))
CALL("tc", __accept, untrusted_never_written,
     asm volatile("call %[f]" : : [f] "i"(untrusted) : "r0", "r1", "r2", "r3", "r4", "r5", "memory"))
CALL("tc", __accept, untrusted_is_walked, untrusted_walks(t))
CALL("tc", __reject("R1 must be a rcu pointer"), untrusted_is_acquired, untrusted_acquires(t))
CALL("tc", __reject("R1 type=untrusted_ptr_ expected=ptr_, trusted_ptr_, rcu_ptr_"), untrusted_is_passed_on,
     untrusted_passes(t))
CALL("tc", __reject("only read is supported"), untrusted_is_written, untrusted_writes(t))
CALL("tc", __reject("arg#0 untrusted cannot be combined with any other tags"), wrong_untrusted_nullable,
     untrusted_nullable(t))
CALL("tc", __reject("arg#0 untrusted cannot be combined with any other tags"), wrong_untrusted_nonnull,
     untrusted_nonnull(t))
CALL("tc", __reject("arg#0 untrusted cannot be combined with any other tags"), wrong_untrusted_arena,
     untrusted_arena(t))
CALL("tc", __accept, untrusted_int_of_the_stack, int x = 1; untrusted_int(&x))
CALL("tc", __accept, untrusted_int_of_a_task, untrusted_int(&t->pid))
CALL("tc", __accept, untrusted_int_of_nowhere, untrusted_int((int *)1))
CALL("tc", __accept, untrusted_int_beyond, int x = 1; untrusted_int_far(&x))
CALL("tc", __accept, untrusted_int_at_an_index, int x = 1; untrusted_int_index(&x))
CALL("tc", __reject("R1 cannot write into rdonly_untrusted_mem"), untrusted_int_is_written,
     int x = 1; untrusted_int_writes(&x))
CALL("tc", __reject("R1 type=rdonly_untrusted_mem expected="), untrusted_int_is_given,
     int x = 1; untrusted_int_given(&x))
CALL("tc", __accept, untrusted_anything, untrusted_void(t))
CALL("tc", __accept, untrusted_enum_is_read, untrusted_enum((void *)t))
CALL("tc", __reject("arg#0 reference type('FLOAT float') has no matches"), wrong_untrusted_float,
     untrusted_float((void *)t))
CALL("tc", __reject("arg#0 reference type('PTR (anon)') candidate matching error: -22"), wrong_untrusted_pointer,
     untrusted_pointer((void *)t))
CALL("tc", __reject("arg#0 reference type('STRUCT no_such_struct') has no matches"), wrong_untrusted_struct,
     untrusted_unknown((void *)t))
CALL("tc", __accept, untrusted_union_is_passed, untrusted_union((void *)t))
CALL("tc", __reject("arg#0 reference type('UNION no_such_union') has no matches"), wrong_untrusted_union,
     untrusted_other_union((void *)t))
CALL("tc", __reject("arg#0 has pointer tag, but is not a pointer type"), wrong_untrusted_number, untrusted_number(5))

/* -------------------------------------------------------------------- NULL, and plain memory */

CALL("tc", __reject("arg#0 has invalid combination of tags"), wrong_nullable_memory, nullable_memory(NULL))
CALL("tc", __reject("arg#0 has invalid combination of tags"), wrong_nullable_and_nonnull, nullable_and_nonnull(NULL))
CALL("tc", __reject("arg#0 has pointer tag, but is not a pointer type"), wrong_nullable_number, nullable_number(5))
CALL("tc", __reject("arg#0 has pointer tag, but is not a pointer type"), wrong_nonnull_number, nonnull_number(5))
