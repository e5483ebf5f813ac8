/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the cases share: the verdict tags, and those names of the kernel that bpfheap.h lacks.
 *
 * A case is one program. Its tag says what Linux 6.18 does when it is loaded alone: __accept, or
 * __reject() with a part of what the verifier's log then says. Programs come in pairs that differ
 * in one thing.
 */
#ifndef __ORACLE_H__
#define __ORACLE_H__

#include <bpfheap.h>

#define __accept __attribute__((btf_decl_tag("verdict:accept")))
#define __reject(message) __attribute__((btf_decl_tag("verdict:reject:" message)))

/* Where bpfheap and Linux differ, and why that is wanted. */
#define __reason(why) __attribute__((btf_decl_tag("reason:" why)))
#define __kernel_accepts __attribute__((btf_decl_tag("kernel:accept")))
#define __kernel_rejects(message) __attribute__((btf_decl_tag("kernel:reject:" message)))

char LICENSE[] SEC("license") = "GPL";

/* A global of a data section of its own: the kernel wants locks and what they guard in one map. */
#define private(name) SEC(".data." #name) __hidden __attribute__((aligned(8)))

#define __kptr_untrusted __attribute__((btf_type_tag("kptr_untrusted")))

/* ---------------------------------------------------------------------------------- loops */

/* As bpfheap.h has it, but for the comparison with the ends: that is the cases' own to write. */
#undef bpf_for
#define bpf_for(i, start, end)                                                                \
	for (struct bpf_iter_num ___it __attribute__((cleanup(bpf_iter_num_destroy))),        \
	     *___once __attribute__((unused)) =                                               \
		     (bpf_iter_num_new(&___it, (start), (end)), (void *)0);                   \
	     ({                                                                               \
		     int *___next = bpf_iter_num_next(&___it);                                \
		     ___next ? ((i) = *___next, 1) : ((i) = 0, 0);                            \
	     });)

/* ------------------------------------------------------- arguments of global functions */

#define __arg_ctx __attribute__((btf_decl_tag("arg:ctx")))
#define __arg_nonnull __attribute__((btf_decl_tag("arg:nonnull")))
#define __arg_nullable __attribute__((btf_decl_tag("arg:nullable")))
#define __arg_trusted __attribute__((btf_decl_tag("arg:trusted")))
#define __arg_untrusted __attribute__((btf_decl_tag("arg:untrusted")))
#define __arg_arena __attribute__((btf_decl_tag("arg:arena")))

#define bpf_htons(x) __builtin_bswap16(x)

/* The value, and the memory it points to, are used, as far as the compiler can tell. */
#define use(value) asm volatile("" : : "r"(value) : "memory")

#endif /* __ORACLE_H__ */
