/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpfheap.h - typed heaps for BPF programs.
 *
 * Use it alone, or include it last, after any of
 *
 *	"vmlinux.h" or <linux/bpf.h>, <bpf/bpf_helpers.h>, <bpf/bpf_core_read.h>
 *
 * Alone it declares everything that a program needs. After those it adds only what they lack.
 * (Before them it cannot work: they do not look whether a name is taken.)
 */
#ifndef __BPFHEAP_H__
#define __BPFHEAP_H__

/* ---------------------------------------------------------------- basic types and macros */

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef signed short __s16;
typedef unsigned int __u32;
typedef signed int __s32;
typedef unsigned long long __u64;
typedef signed long long __s64;

#ifndef NULL
#define NULL ((void *)0)
#endif

#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif

#ifndef container_of
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#endif

#ifndef barrier
#define barrier() asm volatile("" ::: "memory")
#endif

#ifndef barrier_var
#define barrier_var(var) asm volatile("" : "+r"(var))
#endif

/* Where a function or variable goes: SEC("tc"), SEC(".maps"), SEC("license"). */
#ifndef SEC
#define SEC(name) __attribute__((section(name), used))
#endif

/* libc's headers define this one otherwise, so it is not enough that it exists. */
#ifndef __BPF_HELPERS__
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif

#ifndef __weak
#define __weak __attribute__((weak))
#endif

/* A global function that is verified where it is called, as a static one is. */
#ifndef __hidden
#define __hidden __attribute__((visibility("hidden")))
#endif

/* A function or variable that the machine provides. */
#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif
/* extern int CONFIG_HZ __kconfig; of the kernel that the file is for */
#ifndef __kconfig
#define __kconfig __attribute__((section(".kconfig")))
/* in libbpf's bpf_helpers.h, too */
enum libbpf_tristate { TRI_NO = 0, TRI_YES = 1, TRI_MODULE = 2 };
#endif

/* ------------------------------------------------------------------------ map definitions */

/*
 * A map is a variable in SEC(".maps") whose type says everything. Numbers are array lengths
 * (__uint) or enumerators (__ulong, 64 bits), types are pointers to them (__type), and maps or
 * callbacks held by a map are an array of pointers (__array).
 */
#ifndef __uint
#define __uint(name, val) int (*name)[val]
#endif

#ifndef __type
#define __type(name, val) typeof(val) *name
#endif

#ifndef __array
#define __array(name, val) typeof(val) *name[]
#endif

#define ___bpfheap_paste(a, b) a##b
#define ___bpfheap_join(a, b) ___bpfheap_paste(a, b)

#ifndef __ulong
#define __ulong(name, val) enum { ___bpfheap_join(___bpfheap_value, __COUNTER__) = val } name
#endif

/*
 * Which allocator a map's kptr fields, or its elements, come from:
 *
 *	struct {
 *		__uint(type, BPF_MAP_TYPE_HASH);
 *		__uint(max_entries, 123);
 *		__type(key, __u32);
 *		__type(value, struct map_val);
 *		__kptr_allocator(ma);
 *	} hash SEC(".maps");
 *
 * The member's type is the allocator map's own, so the compiler sees to it that the map exists; a
 * type has no variable's name, so that travels in a tag. Unlike an initialiser (`.values = ...`)
 * this also works in the template of an inner map. `void *kptr_allocator;` with an initialiser
 * `.kptr_allocator = &ma` means the same.
 */
#define __kptr_allocator(map) ___bpfheap_allocator(kptr_allocator, map)
#define __elem_allocator(map) ___bpfheap_allocator(elem_allocator, map)
#define ___bpfheap_allocator(member, map) \
	typeof(map) *member __attribute__((btf_decl_tag("allocator:" #map)))

/* An allocator is a map without elements. Far above the numbers that Linux has given out. */
#define BPF_MAP_TYPE_ALLOCATOR 1000

/* --------------------------------------------------------------------------- kptr fields */

/*
 * A field that owns an object:
 *
 *	struct foo *ptr __kptr __local;		or	struct foo __kptr __local *ptr;
 *
 * After the star a type tag has no pointee to stick to and the compiler drops it in silence, while
 * a decl tag names the member wherever it stands. So __kptr is both. Linux knows no pointer with
 * two type tags, hence __local, "a type of this program, not of the kernel", is a decl tag alone.
 */
#undef __kptr
#define __kptr __attribute__((btf_type_tag("kptr"))) __attribute__((btf_decl_tag("kptr")))
#define __local __attribute__((btf_decl_tag("local")))

/* Which allocator map a field's objects come from, for schemes that want to be told. */
#define __from(map) __attribute__((btf_decl_tag("allocator:" #map)))

/*
 * The compiler takes the struct behind a member's pointer for unimportant and writes its name alone
 * into the BTF, unless the struct is used elsewhere. __kptr_type(struct foo); is such a use: a
 * variable without code, in a section that nobody loads.
 */
#define __kptr_type(type)                                                                     \
	static typeof(type) *___bpfheap_join(___bpfheap_type, __COUNTER__)                    \
		__attribute__((used, section(".kptr.types")))

/*
 * A program that only passes objects on uses their struct nowhere, so each exchange does it for
 * the field's own. Structs that those objects own in turn are for the author to name.
 */
#define bpf_kptr_xchg(field, object)                                                          \
	({                                                                                    \
		static typeof(*(field)) *___bpfheap_field                                     \
			__attribute__((used, section(".kptr.types")));                        \
		(bpf_kptr_xchg)(field, object);                                               \
	})

/* ------------------------------------------------------------------------------ the heap */

/* The id of a type in the program's own BTF. */
#define type_id_local(type) __builtin_btf_type_id(*(typeof(type) *)0, 0)

/* A zeroed object that the program now owns, or NULL. `map` is a map of type allocator. */
extern void *bpf_mem_alloc(void *map, __u64 local_type_id) __ksym;

/* Give an object back, and with it all objects that its kptr fields hold. */
extern void unit_free(void *object) __ksym;

/* Make the next `count` allocations succeed, in any context. For sleepable programs. */
extern int bpf_mem_prefill(void *map, __u64 count) __ksym;

#define bpf_obj_alloc bpf_mem_alloc
#define bpf_mem_free unit_free
#define bpf_obj_free unit_free

/* The global allocator, by the names that Linux has for it. */
extern void *bpf_obj_new_impl(__u64 local_type_id, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *object, void *meta) __ksym;

#ifndef bpf_obj_new
#define bpf_obj_new(type) ((typeof(type) *)bpf_obj_new_impl(type_id_local(type), NULL))
#endif

#ifndef bpf_obj_drop
#define bpf_obj_drop(object) bpf_obj_drop_impl(object, NULL)
#endif

/* ------------------------------------------------- lists, trees, owners, copies per CPU */

/* What a list head or tree root holds: objects of struct `type`, linked by their member `node`. */
#ifndef __contains
#define __contains(type, node) __attribute__((btf_decl_tag("contains:" #type ":" #node)))
#endif

/* A field that owns an object with a copy for each CPU. Goes before the star. */
#ifndef __percpu_kptr
#define __percpu_kptr __attribute__((btf_type_tag("percpu_kptr")))
#endif

/* <linux/bpf.h> has these since 6.6 at the latest, and BPF_F_BEFORE since then. */
#if !defined(__VMLINUX_H__) && !defined(BPF_F_BEFORE)

struct bpf_list_head {
	__u64 : 64;
	__u64 : 64;
} __attribute__((aligned(8)));

struct bpf_list_node {
	__u64 : 64;
	__u64 : 64;
	__u64 : 64;
} __attribute__((aligned(8)));

struct bpf_rb_root {
	__u64 : 64;
	__u64 : 64;
} __attribute__((aligned(8)));

struct bpf_rb_node {
	__u64 : 64;
	__u64 : 64;
	__u64 : 64;
	__u64 : 64;
} __attribute__((aligned(8)));

struct bpf_refcount {
	__u32 : 32;
} __attribute__((aligned(4)));

#endif

struct bpf_list_head;
struct bpf_list_node;
struct bpf_rb_root;
struct bpf_rb_node;

/*
 * All of these want the lock held that lies beside the head or root. What is put in is no longer
 * the program's, what is taken out is; the others show what is there, until the lock is released.
 * Putting in fails with -EINVAL, and drops the object, if it is in a list or tree by that node.
 */
extern int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node,
				    void *meta, __u64 off) __ksym;
extern int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node,
				   void *meta, __u64 off) __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_back(struct bpf_list_head *head) __ksym;

extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
			       _Bool (*less)(struct bpf_rb_node *a, const struct bpf_rb_node *b),
			       void *meta, __u64 off) __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root,
					     struct bpf_rb_node *node) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;
extern struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *root) __ksym;
extern struct bpf_rb_node *bpf_rbtree_left(struct bpf_rb_root *root,
					   struct bpf_rb_node *node) __ksym;
extern struct bpf_rb_node *bpf_rbtree_right(struct bpf_rb_root *root,
					    struct bpf_rb_node *node) __ksym;

#ifndef bpf_list_push_front
#define bpf_list_push_front(head, node) bpf_list_push_front_impl(head, node, NULL, 0)
#endif

#ifndef bpf_list_push_back
#define bpf_list_push_back(head, node) bpf_list_push_back_impl(head, node, NULL, 0)
#endif

#ifndef bpf_rbtree_add
#define bpf_rbtree_add(root, node, less) bpf_rbtree_add_impl(root, node, less, NULL, 0)
#endif

/* One owner more for an object with a bpf_refcount. NULL if it had none left. */
extern void *bpf_refcount_acquire_impl(void *object, void *meta) __ksym;

#ifndef bpf_refcount_acquire
#define bpf_refcount_acquire(object) \
	((typeof(*(object)) *)bpf_refcount_acquire_impl(object, NULL))
#endif

/* An object with a copy for each CPU; bpf_per_cpu_ptr and bpf_this_cpu_ptr lead to those. */
extern void *bpf_percpu_obj_new_impl(__u64 local_type_id, void *meta) __ksym;
extern void bpf_percpu_obj_drop_impl(void *object, void *meta) __ksym;

#ifndef bpf_percpu_obj_new
#define bpf_percpu_obj_new(type) \
	((typeof(type) __percpu_kptr *)bpf_percpu_obj_new_impl(type_id_local(type), NULL))
#endif

#ifndef bpf_percpu_obj_drop
#define bpf_percpu_obj_drop(object) bpf_percpu_obj_drop_impl((void *)(object), NULL)
#endif

/* ------------------------------------------------------------ loops and RCU sections */

/* Numbers one after the other: begin, ask for the next one until there is none, destroy. */
#if !defined(__VMLINUX_H__) && !defined(BPF_F_BEFORE)
struct bpf_iter_num {
	__u64 __opaque[1];
} __attribute__((aligned(8)));
#endif

struct bpf_iter_num;

/* linux/bpf.h has it since Linux 5.19. */
#if !defined(__VMLINUX_H__) && !defined(BPF_F_XDP_HAS_FRAGS)
struct bpf_dynptr {
	__u64 __opaque[2];
} __attribute__((aligned(8)));
#endif

struct bpf_dynptr;

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;

#include "bpfheap_loops.h"

/*
 * A loop that the verifier need not understand: `while (can_loop)`, `for (...; can_loop; ...)`, or
 * `cond_break;` in its body. The function leaves it after 8,388,608 rounds. The instruction is
 * written as bytes, since not all assemblers know it.
 */
#ifndef can_loop
#define can_loop                                                                              \
	({                                                                                    \
		__label__ ___leave, ___go_on;                                                 \
		_Bool ___again = 1;                                                           \
		asm volatile goto("1: .byte 0xe5; .byte 0; .long ((%l[___leave] - 1b - 8) / 8)" \
				  " & 0xffff; .short 0"                                       \
				  : : : : ___leave);                                          \
		goto ___go_on;                                                                \
	___leave:                                                                             \
		___again = 0;                                                                 \
	___go_on:;                                                                            \
		___again;                                                                     \
	})
#endif

#ifndef cond_break
#define cond_break                                                                            \
	({                                                                                    \
		if (!can_loop)                                                                \
			break;                                                                \
	})
#endif

/* Objects that were seen in between stay in memory, whoever frees them. */
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

/* ------------------------------------------- sections without preemption or interrupts */

/* Nobody else runs on this CPU in between but interrupts. Sections may be nested. */
extern void bpf_preempt_disable(void) __ksym;
extern void bpf_preempt_enable(void) __ksym;

/*
 * Nor do those. What interrupts were before is in a flag, a local variable of the program's, with
 * which the section ends; the one that began last ends first.
 */
extern void bpf_local_irq_save(unsigned long *flags__irq_flag) __ksym;
extern void bpf_local_irq_restore(unsigned long *flags__irq_flag) __ksym;

/* ---------------------------------------------------------------------- resilient locks */

#ifndef __VMLINUX_H__
struct bpf_res_spin_lock {
	__u32 val;
} __attribute__((aligned(4)));
#endif

struct bpf_res_spin_lock;

/*
 * 0, or -EDEADLK or -ETIMEDOUT where waiting would never end: then the lock is not taken. Several
 * may be held; the one that was taken last is released first.
 */
extern int bpf_res_spin_lock(struct bpf_res_spin_lock *lock) __ksym;
extern void bpf_res_spin_unlock(struct bpf_res_spin_lock *lock) __ksym;
extern int bpf_res_spin_lock_irqsave(struct bpf_res_spin_lock *lock,
				     unsigned long *flags__irq_flag) __ksym;
extern void bpf_res_spin_unlock_irqrestore(struct bpf_res_spin_lock *lock,
					   unsigned long *flags__irq_flag) __ksym;

/* ---------------------------------------------------------------------- work queues */

/* As timers are: a field of a map's values, whose function a thread of the kernel calls. */
#if !defined(__VMLINUX_H__) && !defined(BPF_F_PREORDER)
struct bpf_wq {
	__u64 __opaque[2];
} __attribute__((aligned(8)));
#endif

struct bpf_wq;

extern int bpf_wq_init(struct bpf_wq *wq, void *p__map, unsigned int flags) __ksym;
extern int bpf_wq_set_callback_impl(struct bpf_wq *wq,
				    int (*callback_fn)(void *map, int *key, void *value),
				    unsigned int flags, void *aux__ign) __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __ksym;

#ifndef bpf_wq_set_callback
#define bpf_wq_set_callback(wq, callback, flags) bpf_wq_set_callback_impl(wq, callback, flags, NULL)
#endif

/* ---------------------------------------------------------------------- exceptions */

/*
 * The end of the program, however many functions deep. What is thrown is its result, or what the
 * function makes of it that the program is tagged with: `SEC("tc") __exception_cb(name) int ...`.
 * Nothing may be owned, locked or open then.
 */
extern void bpf_throw(__u64 cookie) __ksym;

#ifndef __exception_cb
#define __exception_cb(name) __attribute__((btf_decl_tag("exception_callback:" #name)))
#endif

#ifndef bpf_assert_with
#define bpf_assert_with(cond, value)                                                          \
	do {                                                                                  \
		if (!(cond))                                                                  \
			bpf_throw(value);                                                     \
	} while (0)
#endif

#ifndef bpf_assert
#define bpf_assert(cond) bpf_assert_with(cond, 0)
#endif

/* --------------------------------------------- what <linux/bpf.h> and vmlinux.h declare */

#if !defined(__VMLINUX_H__) && !defined(__LINUX_BPF_H__) && !defined(_UAPI__LINUX_BPF_H__)

enum bpf_map_type {
	BPF_MAP_TYPE_UNSPEC = 0,
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_STACK_TRACE = 7,
	BPF_MAP_TYPE_CGROUP_ARRAY = 8,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LRU_PERCPU_HASH = 10,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_HASH_OF_MAPS = 13,
	BPF_MAP_TYPE_DEVMAP = 14,
	BPF_MAP_TYPE_SOCKMAP = 15,
	BPF_MAP_TYPE_CPUMAP = 16,
	BPF_MAP_TYPE_XSKMAP = 17,
	BPF_MAP_TYPE_SOCKHASH = 18,
	BPF_MAP_TYPE_CGROUP_STORAGE = 19,
	BPF_MAP_TYPE_REUSEPORT_SOCKARRAY = 20,
	BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE = 21,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_STACK = 23,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_DEVMAP_HASH = 25,
	BPF_MAP_TYPE_STRUCT_OPS = 26,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_INODE_STORAGE = 28,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
	BPF_MAP_TYPE_BLOOM_FILTER = 30,
	BPF_MAP_TYPE_USER_RINGBUF = 31,
	BPF_MAP_TYPE_CGRP_STORAGE = 32,
	BPF_MAP_TYPE_ARENA = 33,
};

/* Flags of bpf_map_update_elem. */
enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
	BPF_F_LOCK = 4,
};

/* __uint(map_flags, ...) */
enum {
	BPF_F_NO_PREALLOC = 1U << 0,
	BPF_F_NO_COMMON_LRU = 1U << 1,
	BPF_F_NUMA_NODE = 1U << 2,
	BPF_F_RDONLY = 1U << 3,
	BPF_F_WRONLY = 1U << 4,
	BPF_F_STACK_BUILD_ID = 1U << 5,
	BPF_F_ZERO_SEED = 1U << 6,
	BPF_F_RDONLY_PROG = 1U << 7,
	BPF_F_WRONLY_PROG = 1U << 8,
	BPF_F_CLONE = 1U << 9,
	BPF_F_MMAPABLE = 1U << 10,
	BPF_F_PRESERVE_ELEMS = 1U << 11,
	BPF_F_INNER_MAP = 1U << 12,
	BPF_F_SEGV_ON_FAULT = 1U << 17,
	BPF_F_NO_USER_CONV = 1U << 18,
};

/* Flags of bpf_perf_event_output. */
enum {
	BPF_F_INDEX_MASK = 0xffffffffULL,
	BPF_F_CURRENT_CPU = BPF_F_INDEX_MASK,
};

/* Flags of the ring buffer's helpers, and what bpf_ringbuf_query can be asked. */
enum {
	BPF_RB_NO_WAKEUP = 1ULL << 0,
	BPF_RB_FORCE_WAKEUP = 1ULL << 1,
};

enum {
	BPF_RB_AVAIL_DATA = 0,
	BPF_RB_RING_SIZE = 1,
	BPF_RB_CONS_POS = 2,
	BPF_RB_PROD_POS = 3,
};

enum xdp_action {
	XDP_ABORTED = 0,
	XDP_DROP,
	XDP_PASS,
	XDP_TX,
	XDP_REDIRECT,
};

struct bpf_flow_keys;
struct bpf_sock;
struct nf_hook_state;
struct sk_buff;

/* A pointer takes 8 bytes here, whatever the machine. */
#define ___bpfheap_ptr(type, name) union { type name; __u64 : 64; } __attribute__((aligned(8)))

/* The context of socket filters, tc and cgroup_skb programs. */
struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark;
	__u32 queue_mapping;
	__u32 protocol;
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 vlan_proto;
	__u32 priority;
	__u32 ingress_ifindex;
	__u32 ifindex;
	__u32 tc_index;
	__u32 cb[5];
	__u32 hash;
	__u32 tc_classid;
	__u32 data;
	__u32 data_end;
	__u32 napi_id;
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 data_meta;
	___bpfheap_ptr(struct bpf_flow_keys *, flow_keys);
	__u64 tstamp;
	__u32 wire_len;
	__u32 gso_segs;
	___bpfheap_ptr(struct bpf_sock *, sk);
	__u32 gso_size;
	__u8 tstamp_type;
	__u32 : 24;
	__u64 hwtstamp;
};

/* The context of xdp programs. */
struct xdp_md {
	__u32 data;
	__u32 data_end;
	__u32 data_meta;
	__u32 ingress_ifindex;
	__u32 rx_queue_index;
	__u32 egress_ifindex;
};

#ifndef _UAPI__LINUX_BPF_PERF_EVENT_H__
/* The context of perf_event programs, on x86-64. */
struct bpf_perf_event_data {
	struct {
		__u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax;
		__u64 ip, cs, flags, sp, ss;
	} regs;
	__u64 sample_period;
	__u64 addr;
};
#endif

/* The context of raw_tp programs. */
struct bpf_raw_tracepoint_args {
	__u64 args[0];
};

/* The context of cgroup/sock and cgroup/post_bind programs. */
struct bpf_sock {
	__u32 bound_dev_if;
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 mark;
	__u32 priority;
	__u32 src_ip4;
	__u32 src_ip6[4];
	__u32 src_port;
	__u16 dst_port;
	__u16 : 16;
	__u32 dst_ip4;
	__u32 dst_ip6[4];
	__u32 state;
	__s32 rx_queue_mapping;
};

/* The context of cgroup/bind, connect, sendmsg and other programs that see addresses. */
struct bpf_sock_addr {
	__u32 user_family;
	__u32 user_ip4;
	__u32 user_ip6[4];
	__u32 user_port;
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 msg_src_ip4;
	__u32 msg_src_ip6[4];
	___bpfheap_ptr(struct bpf_sock *, sk);
};

/* The context of sockops programs. */
struct bpf_sock_ops {
	__u32 op;
	union {
		__u32 args[4];
		__u32 reply;
		__u32 replylong[4];
	};
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 is_fullsock;
	__u32 snd_cwnd;
	__u32 srtt_us;
	__u32 bpf_sock_ops_cb_flags;
	__u32 state;
	__u32 rtt_min;
	__u32 snd_ssthresh;
	__u32 rcv_nxt;
	__u32 snd_nxt;
	__u32 snd_una;
	__u32 mss_cache;
	__u32 ecn_flags;
	__u32 rate_delivered;
	__u32 rate_interval_us;
	__u32 packets_out;
	__u32 retrans_out;
	__u32 total_retrans;
	__u32 segs_in;
	__u32 data_segs_in;
	__u32 segs_out;
	__u32 data_segs_out;
	__u32 lost_out;
	__u32 sacked_out;
	__u32 sk_txhash;
	__u64 bytes_received;
	__u64 bytes_acked;
	___bpfheap_ptr(struct bpf_sock *, sk);
	___bpfheap_ptr(void *, skb_data);
	___bpfheap_ptr(void *, skb_data_end);
	__u32 skb_len;
	__u32 skb_tcp_flags;
	__u64 skb_hwtstamp;
};

/* The context of sk_msg programs. */
struct sk_msg_md {
	___bpfheap_ptr(void *, data);
	___bpfheap_ptr(void *, data_end);
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 size;
	___bpfheap_ptr(struct bpf_sock *, sk);
};

/* The context of sk_reuseport programs. */
struct sk_reuseport_md {
	___bpfheap_ptr(void *, data);
	___bpfheap_ptr(void *, data_end);
	__u32 len;
	__u32 eth_protocol;
	__u32 ip_protocol;
	__u32 bind_inany;
	__u32 hash;
	___bpfheap_ptr(struct bpf_sock *, sk);
	___bpfheap_ptr(struct bpf_sock *, migrating_sk);
};

/* The context of sk_lookup programs. */
struct bpf_sk_lookup {
	union {
		___bpfheap_ptr(struct bpf_sock *, sk);
		__u64 cookie;
	};
	__u32 family;
	__u32 protocol;
	__u32 remote_ip4;
	__u32 remote_ip6[4];
	__u16 remote_port;
	__u16 : 16;
	__u32 local_ip4;
	__u32 local_ip6[4];
	__u32 local_port;
	__u32 ingress_ifindex;
};

/* The context of cgroup/sysctl programs. */
struct bpf_sysctl {
	__u32 write;
	__u32 file_pos;
};

/* The context of cgroup/getsockopt and setsockopt programs. */
struct bpf_sockopt {
	___bpfheap_ptr(struct bpf_sock *, sk);
	___bpfheap_ptr(void *, optval);
	___bpfheap_ptr(void *, optval_end);
	__s32 level;
	__s32 optname;
	__s32 optlen;
	__s32 retval;
};

/* The context of cgroup/dev programs. */
struct bpf_cgroup_dev_ctx {
	__u32 access_type;
	__u32 major;
	__u32 minor;
};

/* The context of netfilter programs. */
struct bpf_nf_ctx {
	const struct nf_hook_state *state;
	struct sk_buff *skb;
};

struct bpf_spin_lock {
	__u32 val;
};

struct bpf_timer {
	__u64 : 64;
	__u64 : 64;
} __attribute__((aligned(8)));

#endif /* no <linux/bpf.h>, no vmlinux.h */

/* What a tc program returns; from <linux/pkt_cls.h>, and macros there too. */
#ifndef TC_ACT_OK
#define TC_ACT_UNSPEC	(-1)
#define TC_ACT_OK		0
#define TC_ACT_RECLASSIFY	1
#define TC_ACT_SHOT		2
#define TC_ACT_PIPE		3
#endif

/* ------------------------------------------------- what <bpf/bpf_helpers.h> declares */

#ifndef __BPF_HELPERS__

/* A helper is a call to a number. */
#define ___bpfheap_helper(number, ret, name, ...) \
	static ret (*const name)(__VA_ARGS__) __attribute__((unused)) = (void *)number

struct task_struct;

/* maps */
___bpfheap_helper(1, void *, bpf_map_lookup_elem, void *map, const void *key);
___bpfheap_helper(2, long, bpf_map_update_elem, void *map, const void *key, const void *value,
		  __u64 flags);
___bpfheap_helper(3, long, bpf_map_delete_elem, void *map, const void *key);
___bpfheap_helper(33, long, bpf_skb_under_cgroup, struct __sk_buff *skb, void *map, __u32 index);
___bpfheap_helper(37, long, bpf_current_task_under_cgroup, void *map, __u32 index);
___bpfheap_helper(87, long, bpf_map_push_elem, void *map, const void *value, __u64 flags);
___bpfheap_helper(88, long, bpf_map_pop_elem, void *map, void *value);
___bpfheap_helper(89, long, bpf_map_peek_elem, void *map, void *value);
___bpfheap_helper(164, long, bpf_for_each_map_elem, void *map, void *callback_fn,
		  void *callback_ctx, __u64 flags);
___bpfheap_helper(195, void *, bpf_map_lookup_percpu_elem, void *map, const void *key, __u32 cpu);

/* objects: the only way into and out of a kptr field; returns what was in it */
___bpfheap_helper(194, void *, bpf_kptr_xchg, void *field, void *object);

/* objects with a copy for each CPU */
___bpfheap_helper(153, void *, bpf_per_cpu_ptr, const void *percpu_ptr, __u32 cpu);
___bpfheap_helper(154, void *, bpf_this_cpu_ptr, const void *percpu_ptr);

/* control flow */
___bpfheap_helper(12, long, bpf_tail_call, void *ctx, void *prog_array_map, __u32 index);
___bpfheap_helper(181, long, bpf_loop, __u32 nr_loops, void *callback_fn, void *callback_ctx,
		  __u64 flags);
___bpfheap_helper(169, long, bpf_timer_init, struct bpf_timer *timer, void *map, __u64 flags);
___bpfheap_helper(170, long, bpf_timer_set_callback, struct bpf_timer *timer, void *callback_fn);
___bpfheap_helper(171, long, bpf_timer_start, struct bpf_timer *timer, __u64 nsecs, __u64 flags);
___bpfheap_helper(172, long, bpf_timer_cancel, struct bpf_timer *timer);
___bpfheap_helper(93, long, bpf_spin_lock, struct bpf_spin_lock *lock);
___bpfheap_helper(94, long, bpf_spin_unlock, struct bpf_spin_lock *lock);

/* time, chance, and where we are */
___bpfheap_helper(5, __u64, bpf_ktime_get_ns, void);
___bpfheap_helper(125, __u64, bpf_ktime_get_boot_ns, void);
___bpfheap_helper(160, __u64, bpf_ktime_get_coarse_ns, void);
___bpfheap_helper(208, __u64, bpf_ktime_get_tai_ns, void);
___bpfheap_helper(118, __u64, bpf_jiffies64, void);
___bpfheap_helper(7, __u32, bpf_get_prandom_u32, void);
___bpfheap_helper(8, __u32, bpf_get_smp_processor_id, void);
___bpfheap_helper(42, long, bpf_get_numa_node_id, void);
___bpfheap_helper(14, __u64, bpf_get_current_pid_tgid, void);
___bpfheap_helper(15, __u64, bpf_get_current_uid_gid, void);
___bpfheap_helper(16, long, bpf_get_current_comm, void *buf, __u32 size_of_buf);
___bpfheap_helper(35, __u64, bpf_get_current_task, void);
___bpfheap_helper(158, struct task_struct *, bpf_get_current_task_btf, void);
___bpfheap_helper(80, __u64, bpf_get_current_cgroup_id, void);
___bpfheap_helper(123, __u64, bpf_get_current_ancestor_cgroup_id, int ancestor_level);
struct bpf_pidns_info;
___bpfheap_helper(120, long, bpf_get_ns_current_pid_tgid, __u64 dev, __u64 ino,
		  struct bpf_pidns_info *nsdata, __u32 size);
___bpfheap_helper(109, long, bpf_send_signal, __u32 sig);
___bpfheap_helper(116, long, bpf_tcp_send_ack, void *tp, __u32 rcv_nxt);
___bpfheap_helper(117, long, bpf_send_signal_thread, __u32 sig);
___bpfheap_helper(27, long, bpf_get_stackid, void *ctx, void *map, __u64 flags);
___bpfheap_helper(67, long, bpf_get_stack, void *ctx, void *buf, __u32 size, __u64 flags);
___bpfheap_helper(173, __u64, bpf_get_func_ip, void *ctx);
___bpfheap_helper(174, __u64, bpf_get_attach_cookie, void *ctx);
struct pt_regs;
___bpfheap_helper(58, long, bpf_override_return, struct pt_regs *regs, __u64 rc);
___bpfheap_helper(183, long, bpf_get_func_arg, void *ctx, __u32 n, __u64 *value);
___bpfheap_helper(184, long, bpf_get_func_ret, void *ctx, __u64 *value);
___bpfheap_helper(185, long, bpf_get_func_arg_cnt, void *ctx);

/* memory */
___bpfheap_helper(4, long, bpf_probe_read, void *dst, __u32 size, const void *unsafe_ptr);
___bpfheap_helper(45, long, bpf_probe_read_str, void *dst, __u32 size, const void *unsafe_ptr);
___bpfheap_helper(112, long, bpf_probe_read_user, void *dst, __u32 size, const void *unsafe_ptr);
___bpfheap_helper(113, long, bpf_probe_read_kernel, void *dst, __u32 size,
		  const void *unsafe_ptr);
___bpfheap_helper(114, long, bpf_probe_read_user_str, void *dst, __u32 size,
		  const void *unsafe_ptr);
___bpfheap_helper(115, long, bpf_probe_read_kernel_str, void *dst, __u32 size,
		  const void *unsafe_ptr);
___bpfheap_helper(36, long, bpf_probe_write_user, void *dst, const void *src, __u32 len);
___bpfheap_helper(148, long, bpf_copy_from_user, void *dst, __u32 size, const void *user_ptr);
___bpfheap_helper(182, long, bpf_strncmp, const char *s1, __u32 s1_sz, const char *s2);
___bpfheap_helper(105, long, bpf_strtol, const char *buf, unsigned long buf_len, __u64 flags,
		  long *res);
___bpfheap_helper(106, long, bpf_strtoul, const char *buf, unsigned long buf_len, __u64 flags,
		  unsigned long *res);

/* packets */
___bpfheap_helper(9, long, bpf_skb_store_bytes, struct __sk_buff *skb, __u32 offset,
		  const void *from, __u32 len, __u64 flags);
___bpfheap_helper(26, long, bpf_skb_load_bytes, const void *skb, __u32 offset, void *to,
		  __u32 len);
___bpfheap_helper(39, long, bpf_skb_pull_data, struct __sk_buff *skb, __u32 len);
___bpfheap_helper(23, long, bpf_redirect, __u32 ifindex, __u64 flags);
struct bpf_redir_neigh;
___bpfheap_helper(13, long, bpf_clone_redirect, struct __sk_buff *skb, __u32 ifindex,
		  __u64 flags);
___bpfheap_helper(152, long, bpf_redirect_neigh, __u32 ifindex, struct bpf_redir_neigh *params,
		  int plen, __u64 flags);
___bpfheap_helper(155, long, bpf_redirect_peer, __u32 ifindex, __u64 flags);
___bpfheap_helper(51, long, bpf_redirect_map, void *map, __u64 key, __u64 flags);
___bpfheap_helper(44, long, bpf_xdp_adjust_head, struct xdp_md *xdp_md, int delta);
___bpfheap_helper(54, long, bpf_xdp_adjust_meta, struct xdp_md *xdp_md, int delta);
___bpfheap_helper(65, long, bpf_xdp_adjust_tail, struct xdp_md *xdp_md, int delta);
___bpfheap_helper(18, long, bpf_skb_vlan_push, struct __sk_buff *skb, __u16 vlan_proto,
		  __u16 vlan_tci);
___bpfheap_helper(19, long, bpf_skb_vlan_pop, struct __sk_buff *skb);
___bpfheap_helper(31, long, bpf_skb_change_proto, struct __sk_buff *skb, __u16 proto,
		  __u64 flags);
___bpfheap_helper(32, long, bpf_skb_change_type, struct __sk_buff *skb, __u32 type);
___bpfheap_helper(38, long, bpf_skb_change_tail, struct __sk_buff *skb, __u32 len, __u64 flags);
___bpfheap_helper(43, long, bpf_skb_change_head, struct __sk_buff *skb, __u32 len, __u64 flags);
___bpfheap_helper(50, long, bpf_skb_adjust_room, struct __sk_buff *skb, __s32 len_diff,
		  __u32 mode, __u64 flags);
___bpfheap_helper(192, long, bpf_skb_set_tstamp, struct __sk_buff *skb, __u64 tstamp,
		  __u32 tstamp_type);
___bpfheap_helper(188, __u64, bpf_xdp_get_buff_len, struct xdp_md *xdp_md);
___bpfheap_helper(189, long, bpf_xdp_load_bytes, struct xdp_md *xdp_md, __u32 offset, void *buf,
		  __u32 len);
___bpfheap_helper(190, long, bpf_xdp_store_bytes, struct xdp_md *xdp_md, __u32 offset, void *buf,
		  __u32 len);

/* checksums and hashes */
___bpfheap_helper(10, long, bpf_l3_csum_replace, struct __sk_buff *skb, __u32 offset, __u64 from,
		  __u64 to, __u64 size);
___bpfheap_helper(11, long, bpf_l4_csum_replace, struct __sk_buff *skb, __u32 offset, __u64 from,
		  __u64 to, __u64 flags);
___bpfheap_helper(28, __s64, bpf_csum_diff, __u32 *from, __u32 from_size, __u32 *to,
		  __u32 to_size, __u32 seed);
___bpfheap_helper(40, __s64, bpf_csum_update, struct __sk_buff *skb, __u32 csum);
___bpfheap_helper(135, long, bpf_csum_level, struct __sk_buff *skb, __u64 level);
___bpfheap_helper(34, __u32, bpf_get_hash_recalc, struct __sk_buff *skb);
___bpfheap_helper(48, long, bpf_set_hash, struct __sk_buff *skb, __u32 hash);
___bpfheap_helper(41, void, bpf_set_hash_invalid, struct __sk_buff *skb);

/* what the kernel knows of a packet */
struct bpf_fib_lookup;
struct bpf_tunnel_key;
struct bpf_xfrm_state;
___bpfheap_helper(24, __u32, bpf_get_route_realm, struct __sk_buff *skb);
___bpfheap_helper(68, long, bpf_skb_load_bytes_relative, const void *skb, __u32 offset, void *to,
		  __u32 len, __u32 start_header);
___bpfheap_helper(69, long, bpf_fib_lookup, void *ctx, struct bpf_fib_lookup *params, int plen,
		  __u32 flags);
___bpfheap_helper(163, long, bpf_check_mtu, void *ctx, __u32 ifindex, __u32 *mtu_len,
		  __s32 len_diff, __u64 flags);
___bpfheap_helper(20, long, bpf_skb_get_tunnel_key, struct __sk_buff *skb,
		  struct bpf_tunnel_key *key, __u32 size, __u64 flags);
___bpfheap_helper(21, long, bpf_skb_set_tunnel_key, struct __sk_buff *skb,
		  struct bpf_tunnel_key *key, __u32 size, __u64 flags);
___bpfheap_helper(29, long, bpf_skb_get_tunnel_opt, struct __sk_buff *skb, void *opt, __u32 size);
___bpfheap_helper(30, long, bpf_skb_set_tunnel_opt, struct __sk_buff *skb, void *opt, __u32 size);
___bpfheap_helper(66, long, bpf_skb_get_xfrm_state, struct __sk_buff *skb, __u32 index,
		  struct bpf_xfrm_state *xfrm_state, __u32 size, __u64 flags);
___bpfheap_helper(79, __u64, bpf_skb_cgroup_id, struct __sk_buff *skb);
___bpfheap_helper(83, __u64, bpf_skb_ancestor_cgroup_id, struct __sk_buff *skb,
		  int ancestor_level);
___bpfheap_helper(151, __u64, bpf_skb_cgroup_classid, struct __sk_buff *skb);
___bpfheap_helper(97, long, bpf_skb_ecn_set_ce, struct __sk_buff *skb);

/* routes (lightweight tunnels) */
___bpfheap_helper(73, long, bpf_lwt_push_encap, struct __sk_buff *skb, __u32 type, void *hdr,
		  __u32 len);
___bpfheap_helper(74, long, bpf_lwt_seg6_store_bytes, struct __sk_buff *skb, __u32 offset,
		  const void *from, __u32 len);
___bpfheap_helper(75, long, bpf_lwt_seg6_adjust_srh, struct __sk_buff *skb, __u32 offset,
		  __s32 delta);
___bpfheap_helper(76, long, bpf_lwt_seg6_action, struct __sk_buff *skb, __u32 action,
		  void *param, __u32 param_len);

/* cookies of TCP connections */
struct iphdr;
struct ipv6hdr;
struct tcphdr;
___bpfheap_helper(204, __s64, bpf_tcp_raw_gen_syncookie_ipv4, struct iphdr *iph,
		  struct tcphdr *th, __u32 th_len);
___bpfheap_helper(205, __s64, bpf_tcp_raw_gen_syncookie_ipv6, struct ipv6hdr *iph,
		  struct tcphdr *th, __u32 th_len);
___bpfheap_helper(206, long, bpf_tcp_raw_check_syncookie_ipv4, struct iphdr *iph,
		  struct tcphdr *th);
___bpfheap_helper(207, long, bpf_tcp_raw_check_syncookie_ipv6, struct ipv6hdr *iph,
		  struct tcphdr *th);

/* sockets, messages and TCP options */
struct sockaddr;
___bpfheap_helper(17, __u32, bpf_get_cgroup_classid, struct __sk_buff *skb);
___bpfheap_helper(46, __u64, bpf_get_socket_cookie, void *ctx);
___bpfheap_helper(47, __u32, bpf_get_socket_uid, struct __sk_buff *skb);
___bpfheap_helper(122, __u64, bpf_get_netns_cookie, void *ctx);
___bpfheap_helper(49, long, bpf_setsockopt, void *bpf_socket, int level, int optname,
		  void *optval, int optlen);
___bpfheap_helper(57, long, bpf_getsockopt, void *bpf_socket, int level, int optname,
		  void *optval, int optlen);
___bpfheap_helper(64, long, bpf_bind, struct bpf_sock_addr *ctx, struct sockaddr *addr,
		  int addr_len);
___bpfheap_helper(59, long, bpf_sock_ops_cb_flags_set, struct bpf_sock_ops *bpf_sock, int argval);
___bpfheap_helper(61, long, bpf_msg_apply_bytes, struct sk_msg_md *msg, __u32 bytes);
___bpfheap_helper(62, long, bpf_msg_cork_bytes, struct sk_msg_md *msg, __u32 bytes);
___bpfheap_helper(63, long, bpf_msg_pull_data, struct sk_msg_md *msg, __u32 start, __u32 end,
		  __u64 flags);
___bpfheap_helper(90, long, bpf_msg_push_data, struct sk_msg_md *msg, __u32 start, __u32 len,
		  __u64 flags);
___bpfheap_helper(91, long, bpf_msg_pop_data, struct sk_msg_md *msg, __u32 start, __u32 len,
		  __u64 flags);
___bpfheap_helper(142, long, bpf_load_hdr_opt, struct bpf_sock_ops *skops, void *searchby_res,
		  __u32 len, __u64 flags);
___bpfheap_helper(143, long, bpf_store_hdr_opt, struct bpf_sock_ops *skops, const void *from,
		  __u32 len, __u64 flags);
___bpfheap_helper(144, long, bpf_reserve_hdr_opt, struct bpf_sock_ops *skops, __u32 len,
		  __u64 flags);
___bpfheap_helper(52, long, bpf_sk_redirect_map, struct __sk_buff *skb, void *map, __u32 key,
		  __u64 flags);
___bpfheap_helper(72, long, bpf_sk_redirect_hash, struct __sk_buff *skb, void *map, void *key,
		  __u64 flags);
___bpfheap_helper(60, long, bpf_msg_redirect_map, struct sk_msg_md *msg, void *map, __u32 key,
		  __u64 flags);
___bpfheap_helper(71, long, bpf_msg_redirect_hash, struct sk_msg_md *msg, void *map, void *key,
		  __u64 flags);
___bpfheap_helper(53, long, bpf_sock_map_update, struct bpf_sock_ops *skops, void *map,
		  void *key, __u64 flags);
___bpfheap_helper(70, long, bpf_sock_hash_update, struct bpf_sock_ops *skops, void *map,
		  void *key, __u64 flags);
___bpfheap_helper(82, long, bpf_sk_select_reuseport, struct sk_reuseport_md *reuse, void *map,
		  void *key, __u64 flags);

/* sockets that are looked up, and what they are besides */
struct bpf_sock;
struct bpf_sock_tuple;
struct bpf_tcp_sock;
___bpfheap_helper(84, struct bpf_sock *, bpf_sk_lookup_tcp, void *ctx,
		  struct bpf_sock_tuple *tuple, __u32 tuple_size, __u64 netns, __u64 flags);
___bpfheap_helper(85, struct bpf_sock *, bpf_sk_lookup_udp, void *ctx,
		  struct bpf_sock_tuple *tuple, __u32 tuple_size, __u64 netns, __u64 flags);
___bpfheap_helper(99, struct bpf_sock *, bpf_skc_lookup_tcp, void *ctx,
		  struct bpf_sock_tuple *tuple, __u32 tuple_size, __u64 netns, __u64 flags);
___bpfheap_helper(86, long, bpf_sk_release, void *sock);
___bpfheap_helper(95, struct bpf_sock *, bpf_sk_fullsock, struct bpf_sock *sk);
___bpfheap_helper(96, struct bpf_tcp_sock *, bpf_tcp_sock, struct bpf_sock *sk);
___bpfheap_helper(98, struct bpf_sock *, bpf_get_listener_sock, struct bpf_sock *sk);
___bpfheap_helper(100, long, bpf_tcp_check_syncookie, void *sk, void *iph, __u32 iph_len,
		  struct tcphdr *th, __u32 th_len);
___bpfheap_helper(110, __s64, bpf_tcp_gen_syncookie, void *sk, void *iph, __u32 iph_len,
		  struct tcphdr *th, __u32 th_len);
___bpfheap_helper(124, long, bpf_sk_assign, void *ctx, void *sk, __u64 flags);
___bpfheap_helper(128, __u64, bpf_sk_cgroup_id, void *sk);
___bpfheap_helper(129, __u64, bpf_sk_ancestor_cgroup_id, void *sk, int ancestor_level);

/* control groups */
___bpfheap_helper(186, int, bpf_get_retval, void);
___bpfheap_helper(187, int, bpf_set_retval, int retval);
___bpfheap_helper(101, long, bpf_sysctl_get_name, struct bpf_sysctl *ctx, char *buf,
		  unsigned long buf_len, __u64 flags);
___bpfheap_helper(102, long, bpf_sysctl_get_current_value, struct bpf_sysctl *ctx, char *buf,
		  unsigned long buf_len);
___bpfheap_helper(103, long, bpf_sysctl_get_new_value, struct bpf_sysctl *ctx, char *buf,
		  unsigned long buf_len);
___bpfheap_helper(104, long, bpf_sysctl_set_new_value, struct bpf_sysctl *ctx, const char *buf,
		  unsigned long buf_len);
___bpfheap_helper(81, void *, bpf_get_local_storage, void *map, __u64 flags);

/* objects of the kernel */
struct btf_ptr;
struct cgroup;
struct file;
struct inode;
struct linux_binprm;
struct mptcp_sock;
struct path;
struct seq_file;
struct socket;
struct tcp6_sock;
struct tcp_request_sock;
struct tcp_sock;
struct tcp_timewait_sock;
struct udp6_sock;
struct unix_sock;
___bpfheap_helper(175, long, bpf_task_pt_regs, struct task_struct *task);
___bpfheap_helper(180, long, bpf_find_vma, struct task_struct *task, __u64 addr, void *callback_fn,
		  void *callback_ctx, __u64 flags);
___bpfheap_helper(141, long, bpf_get_task_stack, struct task_struct *task, void *buf, __u32 size,
		  __u64 flags);
___bpfheap_helper(191, long, bpf_copy_from_user_task, void *dst, __u32 size, const void *user_ptr,
		  struct task_struct *tsk, __u64 flags);
___bpfheap_helper(156, void *, bpf_task_storage_get, void *map, struct task_struct *task,
		  void *value, __u64 flags);
___bpfheap_helper(157, long, bpf_task_storage_delete, void *map, struct task_struct *task);
___bpfheap_helper(145, void *, bpf_inode_storage_get, void *map, void *inode, void *value,
		  __u64 flags);
___bpfheap_helper(146, int, bpf_inode_storage_delete, void *map, void *inode);
___bpfheap_helper(210, void *, bpf_cgrp_storage_get, void *map, struct cgroup *cgroup, void *value,
		  __u64 flags);
___bpfheap_helper(211, long, bpf_cgrp_storage_delete, void *map, struct cgroup *cgroup);
___bpfheap_helper(107, void *, bpf_sk_storage_get, void *map, void *sk, void *value, __u64 flags);
___bpfheap_helper(108, long, bpf_sk_storage_delete, void *map, void *sk);
___bpfheap_helper(136, struct tcp6_sock *, bpf_skc_to_tcp6_sock, void *sk);
___bpfheap_helper(137, struct tcp_sock *, bpf_skc_to_tcp_sock, void *sk);
___bpfheap_helper(138, struct tcp_timewait_sock *, bpf_skc_to_tcp_timewait_sock, void *sk);
___bpfheap_helper(139, struct tcp_request_sock *, bpf_skc_to_tcp_request_sock, void *sk);
___bpfheap_helper(140, struct udp6_sock *, bpf_skc_to_udp6_sock, void *sk);
___bpfheap_helper(178, struct unix_sock *, bpf_skc_to_unix_sock, void *sk);
___bpfheap_helper(196, struct mptcp_sock *, bpf_skc_to_mptcp_sock, void *sk);
___bpfheap_helper(162, struct socket *, bpf_sock_from_file, struct file *file);
___bpfheap_helper(147, long, bpf_d_path, struct path *path, char *buf, __u32 sz);
___bpfheap_helper(159, long, bpf_bprm_opts_set, struct linux_binprm *bprm, __u64 flags);
___bpfheap_helper(161, long, bpf_ima_inode_hash, struct inode *inode, void *dst, __u32 size);
___bpfheap_helper(193, long, bpf_ima_file_hash, struct file *file, void *dst, __u32 size);
___bpfheap_helper(126, long, bpf_seq_printf, struct seq_file *m, const char *fmt, __u32 fmt_size,
		  const void *data, __u32 data_len);
___bpfheap_helper(127, long, bpf_seq_write, struct seq_file *m, const void *data, __u32 len);
___bpfheap_helper(150, long, bpf_seq_printf_btf, struct seq_file *m, struct btf_ptr *ptr,
		  __u32 ptr_size, __u64 flags);
___bpfheap_helper(111, long, bpf_skb_output, void *ctx, void *map, __u64 flags, void *data,
		  __u64 size);
___bpfheap_helper(121, long, bpf_xdp_output, void *ctx, void *map, __u64 flags, void *data,
		  __u64 size);

/* infrared receivers */
___bpfheap_helper(77, long, bpf_rc_repeat, void *ctx);
___bpfheap_helper(78, long, bpf_rc_keydown, void *ctx, __u32 protocol, __u64 scancode,
		  __u32 toggle);
___bpfheap_helper(92, long, bpf_rc_pointer_rel, void *ctx, __s32 rel_x, __s32 rel_y);

/* perf events */
struct bpf_perf_event_value;
___bpfheap_helper(22, __u64, bpf_perf_event_read, void *map, __u64 flags);
___bpfheap_helper(55, long, bpf_perf_event_read_value, void *map, __u64 flags,
		  struct bpf_perf_event_value *buf, __u32 buf_size);
___bpfheap_helper(56, long, bpf_perf_prog_read_value, struct bpf_perf_event_data *ctx,
		  struct bpf_perf_event_value *buf, __u32 buf_size);
___bpfheap_helper(119, long, bpf_read_branch_records, struct bpf_perf_event_data *ctx, void *buf,
		  __u32 size, __u64 flags);
___bpfheap_helper(176, long, bpf_get_branch_snapshot, void *entries, __u32 size, __u64 flags);

/* what syscall programs do */
___bpfheap_helper(166, long, bpf_sys_bpf, __u32 cmd, void *attr, __u32 attr_size);
___bpfheap_helper(167, long, bpf_btf_find_by_name_kind, char *name, int name_sz, __u32 kind,
		  int flags);
___bpfheap_helper(168, long, bpf_sys_close, __u32 fd);
___bpfheap_helper(179, long, bpf_kallsyms_lookup_name, const char *name, int name_sz, int flags,
		  __u64 *res);

/* output */
___bpfheap_helper(6, long, bpf_trace_printk, const char *fmt, __u32 fmt_size, ...);
___bpfheap_helper(177, long, bpf_trace_vprintk, const char *fmt, __u32 fmt_size, const void *data,
		  __u32 data_len);
___bpfheap_helper(165, long, bpf_snprintf, char *str, __u32 str_size, const char *fmt,
		  __u64 *data, __u32 data_len);
struct btf_ptr;
___bpfheap_helper(149, long, bpf_snprintf_btf, char *str, __u32 str_size, struct btf_ptr *ptr,
		  __u32 btf_ptr_size, __u64 flags);
___bpfheap_helper(25, long, bpf_perf_event_output, void *ctx, void *map, __u64 flags, void *data,
		  __u64 size);
___bpfheap_helper(130, long, bpf_ringbuf_output, void *ringbuf, void *data, __u64 size,
		  __u64 flags);
___bpfheap_helper(131, void *, bpf_ringbuf_reserve, void *ringbuf, __u64 size, __u64 flags);
___bpfheap_helper(132, void, bpf_ringbuf_submit, void *data, __u64 flags);
___bpfheap_helper(133, void, bpf_ringbuf_discard, void *data, __u64 flags);
___bpfheap_helper(134, __u64, bpf_ringbuf_query, void *ringbuf, __u64 flags);

/*
 * dynptrs: memory whose bounds are looked at when the program runs. A local one leads to a value of
 * a map, one of a ring buffer to a record, which is submitted or discarded on every path.
 */
___bpfheap_helper(197, long, bpf_dynptr_from_mem, void *data, __u32 size, __u64 flags,
		  struct bpf_dynptr *ptr);
___bpfheap_helper(198, long, bpf_ringbuf_reserve_dynptr, void *ringbuf, __u32 size, __u64 flags,
		  struct bpf_dynptr *ptr);
___bpfheap_helper(199, void, bpf_ringbuf_submit_dynptr, struct bpf_dynptr *ptr, __u64 flags);
___bpfheap_helper(200, void, bpf_ringbuf_discard_dynptr, struct bpf_dynptr *ptr, __u64 flags);
___bpfheap_helper(201, long, bpf_dynptr_read, void *dst, __u32 len, const struct bpf_dynptr *src,
		  __u32 offset, __u64 flags);
___bpfheap_helper(202, long, bpf_dynptr_write, const struct bpf_dynptr *dst, __u32 offset,
		  void *src, __u32 len, __u64 flags);
___bpfheap_helper(203, void *, bpf_dynptr_data, const struct bpf_dynptr *ptr, __u32 offset,
		  __u32 len);
/* callback_fn is long (*)(const struct bpf_dynptr *record, void *callback_ctx). */
___bpfheap_helper(209, long, bpf_user_ringbuf_drain, void *map, void *callback_fn,
		  void *callback_ctx, __u64 flags);

/*
 * printf for BPF. bpf_trace_printk takes three numbers after the format, bpf_trace_vprintk an
 * array of twelve; which of the two is needed is known by what the thirteenth argument is.
 */
#define bpf_printk(fmt, args...)						\
	___bpfheap_13th(_, ##args, ___bpfheap_vprintk, ___bpfheap_vprintk,	\
			___bpfheap_vprintk, ___bpfheap_vprintk,			\
			___bpfheap_vprintk, ___bpfheap_vprintk,			\
			___bpfheap_vprintk, ___bpfheap_vprintk,			\
			___bpfheap_vprintk, ___bpfheap_printk,			\
			___bpfheap_printk, ___bpfheap_printk,			\
			___bpfheap_printk)(fmt, ##args)

#define ___bpfheap_13th(_0, _1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, pick, ...) pick

#define ___bpfheap_printk(fmt, args...)						\
({										\
	static const char ___text[] = fmt;					\
	bpf_trace_printk(___text, sizeof(___text), ##args);			\
})

#define ___bpfheap_vprintk(fmt, args...)					\
({										\
	static const char ___text[] = fmt;					\
	_Pragma("clang diagnostic push")					\
	_Pragma("clang diagnostic ignored \"-Wint-conversion\"")		\
	__u64 ___numbers[] = { args };						\
	_Pragma("clang diagnostic pop")						\
	bpf_trace_vprintk(___text, sizeof(___text), ___numbers, sizeof(___numbers)); \
})

#endif /* no <bpf/bpf_helpers.h> */

#endif /* __BPFHEAP_H__ */
