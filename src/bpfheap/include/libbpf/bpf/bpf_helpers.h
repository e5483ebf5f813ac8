/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpf_helpers.h - what programs written for libbpf expect, for systems without its headers or with
 * headers too old for a program. The names are libbpf's.
 */
#ifndef __BPF_HELPERS__
#define __BPF_HELPERS__

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif
#include <bpf/bpf_helper_defs.h>

/* ---------------------------------------------------------------- maps, as members of a struct */

#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]
#ifndef ___bpf_concat
#define ___bpf_concat(a, b) a ## b
#endif
#ifndef ___bpf_apply
#define ___bpf_apply(fn, n) ___bpf_concat(fn, n)
#endif
#define __ulong(name, val) enum { ___bpf_apply(__unique_value, __COUNTER__) = val } name

/* --------------------------------------------------------------------------------- attributes */

#define SEC(name)                                                                   \
	_Pragma("GCC diagnostic push")                                              \
	_Pragma("GCC diagnostic ignored \"-Wignored-attributes\"")                  \
	__attribute__((section(name), used))                                        \
	_Pragma("GCC diagnostic pop")

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif
#ifndef __weak
#define __weak __attribute__((weak))
#endif
#ifndef __hidden
#define __hidden __attribute__((visibility("hidden")))
#endif
#define __kconfig __attribute__((section(".kconfig")))
#undef __ksym
#define __ksym __attribute__((section(".ksyms")))
#define __kptr_untrusted __attribute__((btf_type_tag("kptr_untrusted")))
#define __kptr __attribute__((btf_type_tag("kptr")))
#define __percpu_kptr __attribute__((btf_type_tag("percpu_kptr")))
#define __uptr __attribute__((btf_type_tag("uptr")))

#define __arg_ctx __attribute__((btf_decl_tag("arg:ctx")))
#define __arg_nonnull __attribute((btf_decl_tag("arg:nonnull")))
#define __arg_nullable __attribute((btf_decl_tag("arg:nullable")))
#define __arg_trusted __attribute((btf_decl_tag("arg:trusted")))
#define __arg_untrusted __attribute((btf_decl_tag("arg:untrusted")))
#define __arg_arena __attribute((btf_decl_tag("arg:arena")))

/* Is a weak function or variable there? */
#define bpf_ksym_exists(sym)                                                        \
	({                                                                          \
		_Static_assert(!__builtin_constant_p(!!sym), #sym " has to be __weak"); \
		!!sym;                                                              \
	})

enum libbpf_pin_type {
	LIBBPF_PIN_NONE,
	LIBBPF_PIN_BY_NAME,
};

enum libbpf_tristate {
	TRI_NO = 0,
	TRI_YES = 1,
	TRI_MODULE = 2,
};

/* ------------------------------------------------------------------------- what C code needs */

#ifndef NULL
#define NULL ((void *)0)
#endif
#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif
#ifndef container_of
#define container_of(ptr, type, member)                                             \
	({                                                                          \
		void *___member = (void *)(ptr);                                    \
		(type *)(___member - offsetof(type, member));                       \
	})
#endif
#ifndef likely
#define likely(x) __builtin_expect(!!(x), 1)
#endif
#ifndef unlikely
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif
#ifndef barrier
#define barrier() asm volatile("" ::: "memory")
#endif
#ifndef barrier_var
#define barrier_var(var) asm volatile("" : "+r"(var))
#endif
#ifndef __bpf_unreachable
#define __bpf_unreachable() __builtin_trap()
#endif

#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))

/* bpf_tail_call with an index that is a constant, which compilers may not merge with others. */
static __always_inline void bpf_tail_call_static(void *ctx, const void *map, const __u32 slot)
{
	if (!__builtin_constant_p(slot))
		__bpf_unreachable();
	asm volatile("r1 = %[ctx]\n\t"
		     "r2 = %[map]\n\t"
		     "r3 = %[slot]\n\t"
		     "call 12"
		     :
		     : [ctx] "r"(ctx), [map] "r"(map), [slot] "i"(slot)
		     : "r0", "r1", "r2", "r3", "r4", "r5");
}

/* ------------------------------------------------------------------------------------- output */

/* The thirteenth of its arguments, and with it how many there were. */
#define ___bpf_13th(_0, _1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, pick, ...) pick
#define ___bpf_narg(...) \
	___bpf_13th(_, ##__VA_ARGS__, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)

/* The arguments as the first elements of an array. Each is stored by itself: compilers would make a
 * constant of an initializer, and in constants loaders leave addresses of texts as 0. */
#define ___bpf_store0(arr, n, args...)
#define ___bpf_store1(arr, n, x) (arr)[n] = x
#define ___bpf_store2(arr, n, x, args...) ((arr)[n] = x, ___bpf_store1(arr, (n) + 1, args))
#define ___bpf_store3(arr, n, x, args...) ((arr)[n] = x, ___bpf_store2(arr, (n) + 1, args))
#define ___bpf_store4(arr, n, x, args...) ((arr)[n] = x, ___bpf_store3(arr, (n) + 1, args))
#define ___bpf_store5(arr, n, x, args...) ((arr)[n] = x, ___bpf_store4(arr, (n) + 1, args))
#define ___bpf_store6(arr, n, x, args...) ((arr)[n] = x, ___bpf_store5(arr, (n) + 1, args))
#define ___bpf_store7(arr, n, x, args...) ((arr)[n] = x, ___bpf_store6(arr, (n) + 1, args))
#define ___bpf_store8(arr, n, x, args...) ((arr)[n] = x, ___bpf_store7(arr, (n) + 1, args))
#define ___bpf_store9(arr, n, x, args...) ((arr)[n] = x, ___bpf_store8(arr, (n) + 1, args))
#define ___bpf_store10(arr, n, x, args...) ((arr)[n] = x, ___bpf_store9(arr, (n) + 1, args))
#define ___bpf_store11(arr, n, x, args...) ((arr)[n] = x, ___bpf_store10(arr, (n) + 1, args))
#define ___bpf_store12(arr, n, x, args...) ((arr)[n] = x, ___bpf_store11(arr, (n) + 1, args))
#define ___bpf_pick_store(...)                                                      \
	___bpf_13th(_, ##__VA_ARGS__, ___bpf_store12, ___bpf_store11, ___bpf_store10,   \
		    ___bpf_store9, ___bpf_store8, ___bpf_store7, ___bpf_store6,         \
		    ___bpf_store5, ___bpf_store4, ___bpf_store3, ___bpf_store2,         \
		    ___bpf_store1, ___bpf_store0)
#define ___bpf_fill(arr, args...) ___bpf_pick_store(args)(arr, 0, ##args)

/* The arguments of a message as an array of numbers. */
#define ___bpf_numbers(name, args...)                                               \
	unsigned long long name[___bpf_narg(args) ?: 1];                            \
	_Pragma("GCC diagnostic push")                                              \
	_Pragma("GCC diagnostic ignored \"-Wint-conversion\"")                      \
	___bpf_fill(name, args);                                                    \
	_Pragma("GCC diagnostic pop")

#ifdef BPF_NO_GLOBAL_DATA
#define BPF_PRINTK_FMT_MOD
#else
#define BPF_PRINTK_FMT_MOD static const
#endif

#define __bpf_printk(fmt, ...)                                                      \
	({                                                                          \
		BPF_PRINTK_FMT_MOD char ____fmt[] = fmt;                            \
		bpf_trace_printk(____fmt, sizeof(____fmt), ##__VA_ARGS__);          \
	})

#define __bpf_vprintk(fmt, args...)                                                 \
	({                                                                          \
		static const char ___fmt[] = fmt;                                   \
		___bpf_numbers(___param, args);                                     \
		bpf_trace_vprintk(___fmt, sizeof(___fmt), ___param, sizeof(___param)); \
	})

/* Up to three numbers go to the one helper, more to the other. */
#define ___bpf_pick_printk(...)                                                     \
	___bpf_13th(_, ##__VA_ARGS__, __bpf_vprintk, __bpf_vprintk, __bpf_vprintk,  \
		    __bpf_vprintk, __bpf_vprintk, __bpf_vprintk, __bpf_vprintk,     \
		    __bpf_vprintk, __bpf_vprintk, __bpf_printk, __bpf_printk,       \
		    __bpf_printk, __bpf_printk)
#define bpf_printk(fmt, args...) ___bpf_pick_printk(args)(fmt, ##args)

#define BPF_SEQ_PRINTF(seq, fmt, args...)                                           \
	({                                                                          \
		static const char ___fmt[] = fmt;                                   \
		___bpf_numbers(___param, args);                                     \
		bpf_seq_printf(seq, ___fmt, sizeof(___fmt), ___param,               \
			       ___bpf_narg(args) * sizeof(*___param));              \
	})

#define BPF_SNPRINTF(out, out_size, fmt, args...)                                   \
	({                                                                          \
		static const char ___fmt[] = fmt;                                   \
		___bpf_numbers(___param, args);                                     \
		bpf_snprintf(out, out_size, ___fmt, ___param,                       \
			     ___bpf_narg(args) * sizeof(*___param));                \
	})

/* -------------------------------------------------------------------------------------- loops */

struct bpf_iter_num;

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __weak __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __weak __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __weak __ksym;

#ifndef bpf_for_each
#define bpf_for_each(type, cur, args...)                                            \
	for (struct bpf_iter_##type ___it                                           \
		     __attribute__((aligned(8), cleanup(bpf_iter_##type##_destroy))), \
	     *___p __attribute__((unused)) =                                        \
		     (bpf_iter_##type##_new(&___it, ##args),                        \
		      (void)bpf_iter_##type##_destroy, (void *)0);                  \
	     (cur = bpf_iter_##type##_next(&___it));)
#endif

#include "../../bpfheap_loops.h"

#endif /* __BPF_HELPERS__ */
