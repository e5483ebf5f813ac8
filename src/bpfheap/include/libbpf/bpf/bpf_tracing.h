/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpf_tracing.h - arguments of traced functions: from the array of fentry and raw tracepoints, and
 * from the registers of kprobes. The names are libbpf's.
 */
#ifndef __BPF_TRACING_H__
#define __BPF_TRACING_H__

#include <bpf/bpf_helpers.h>

/* ---------------------------------------------- which register has what, by calling convention */

#if defined(__TARGET_ARCH_x86)
#define bpf_target_x86
#if defined(__KERNEL__) || defined(__VMLINUX_H__)


#define __PT_REGS_CAST(x) (x)
#define __PT_PARM1_REG di
#define __PT_PARM2_REG si
#define __PT_PARM3_REG dx
#define __PT_PARM4_REG cx
#define __PT_PARM5_REG r8
#define __PT_PARM6_REG r9
#define __PT_PARM1_SYSCALL_REG di
#define __PT_PARM2_SYSCALL_REG si
#define __PT_PARM3_SYSCALL_REG dx
#define __PT_PARM4_SYSCALL_REG r10
#define __PT_PARM5_SYSCALL_REG r8
#define __PT_PARM6_SYSCALL_REG r9
#define __PT_RET_REG sp
#define __PT_FP_REG bp
#define __PT_RC_REG ax
#define __PT_SP_REG sp
#define __PT_IP_REG ip

#else /* the registers as <linux/ptrace.h> has them */


#define __PT_REGS_CAST(x) (x)
#define __PT_PARM1_REG rdi
#define __PT_PARM2_REG rsi
#define __PT_PARM3_REG rdx
#define __PT_PARM4_REG rcx
#define __PT_PARM5_REG r8
#define __PT_PARM6_REG r9
#define __PT_PARM1_SYSCALL_REG rdi
#define __PT_PARM2_SYSCALL_REG rsi
#define __PT_PARM3_SYSCALL_REG rdx
#define __PT_PARM4_SYSCALL_REG r10
#define __PT_PARM5_SYSCALL_REG r8
#define __PT_PARM6_SYSCALL_REG r9
#define __PT_RET_REG rsp
#define __PT_FP_REG rbp
#define __PT_RC_REG rax
#define __PT_SP_REG rsp
#define __PT_IP_REG rip

#endif

#elif defined(__TARGET_ARCH_arm64)
#define bpf_target_arm64

struct pt_regs___arm64 {
	unsigned long orig_x0;
} __attribute__((preserve_access_index));

#define __PT_REGS_CAST(x) ((const struct user_pt_regs *)(x))
#define __PT_PARM1_REG regs[0]
#define __PT_PARM2_REG regs[1]
#define __PT_PARM3_REG regs[2]
#define __PT_PARM4_REG regs[3]
#define __PT_PARM5_REG regs[4]
#define __PT_PARM6_REG regs[5]
#define __PT_PARM7_REG regs[6]
#define __PT_PARM8_REG regs[7]
#define __PT_PARM1_SYSCALL_REG orig_x0
#define __PT_PARM2_SYSCALL_REG regs[1]
#define __PT_PARM3_SYSCALL_REG regs[2]
#define __PT_PARM4_SYSCALL_REG regs[3]
#define __PT_PARM5_SYSCALL_REG regs[4]
#define __PT_PARM6_SYSCALL_REG regs[5]
#define __PT_RET_REG regs[30]
#define __PT_FP_REG regs[29]
#define __PT_RC_REG regs[0]
#define __PT_SP_REG sp
#define __PT_IP_REG pc
#define PT_REGS_PARM1_SYSCALL(x) PT_REGS_PARM1_CORE_SYSCALL(x)
#define PT_REGS_PARM1_CORE_SYSCALL(x) \
	BPF_CORE_READ((const struct pt_regs___arm64 *)(x), __PT_PARM1_SYSCALL_REG)

#elif defined(__TARGET_ARCH_riscv)
#define bpf_target_riscv

struct pt_regs___riscv {
	unsigned long orig_a0;
} __attribute__((preserve_access_index));

#define __PT_REGS_CAST(x) ((const struct user_regs_struct *)(x))
#define __PT_PARM1_REG a0
#define __PT_PARM2_REG a1
#define __PT_PARM3_REG a2
#define __PT_PARM4_REG a3
#define __PT_PARM5_REG a4
#define __PT_PARM6_REG a5
#define __PT_PARM7_REG a6
#define __PT_PARM8_REG a7
#define __PT_PARM1_SYSCALL_REG orig_a0
#define __PT_PARM2_SYSCALL_REG a1
#define __PT_PARM3_SYSCALL_REG a2
#define __PT_PARM4_SYSCALL_REG a3
#define __PT_PARM5_SYSCALL_REG a4
#define __PT_PARM6_SYSCALL_REG a5
#define __PT_RET_REG ra
#define __PT_FP_REG s0
#define __PT_RC_REG a0
#define __PT_SP_REG sp
#define __PT_IP_REG pc
#define PT_REGS_PARM1_SYSCALL(x) PT_REGS_PARM1_CORE_SYSCALL(x)
#define PT_REGS_PARM1_CORE_SYSCALL(x) \
	BPF_CORE_READ((const struct pt_regs___riscv *)(x), __PT_PARM1_SYSCALL_REG)

#else
#error "no registers are known of this machine: define __TARGET_ARCH_x86, _arm64 or _riscv"
#endif
#define bpf_target_defined

/* -------------------------------------------------------------- reading them, directly or by CO-RE */

struct pt_regs;

#define PT_REGS_PARM1(x) (__PT_REGS_CAST(x)->__PT_PARM1_REG)
#define PT_REGS_PARM1_CORE(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_PARM1_REG)
#define PT_REGS_PARM2(x) (__PT_REGS_CAST(x)->__PT_PARM2_REG)
#define PT_REGS_PARM2_CORE(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_PARM2_REG)
#define PT_REGS_PARM3(x) (__PT_REGS_CAST(x)->__PT_PARM3_REG)
#define PT_REGS_PARM3_CORE(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_PARM3_REG)
#define PT_REGS_PARM4(x) (__PT_REGS_CAST(x)->__PT_PARM4_REG)
#define PT_REGS_PARM4_CORE(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_PARM4_REG)
#define PT_REGS_PARM5(x) (__PT_REGS_CAST(x)->__PT_PARM5_REG)
#define PT_REGS_PARM5_CORE(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_PARM5_REG)
#define PT_REGS_PARM6(x) (__PT_REGS_CAST(x)->__PT_PARM6_REG)
#define PT_REGS_PARM6_CORE(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_PARM6_REG)
#ifdef __PT_PARM7_REG
#define PT_REGS_PARM7(x) (__PT_REGS_CAST(x)->__PT_PARM7_REG)
#define PT_REGS_PARM7_CORE(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_PARM7_REG)
#endif
#ifdef __PT_PARM8_REG
#define PT_REGS_PARM8(x) (__PT_REGS_CAST(x)->__PT_PARM8_REG)
#define PT_REGS_PARM8_CORE(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_PARM8_REG)
#endif
#define PT_REGS_RET(x) (__PT_REGS_CAST(x)->__PT_RET_REG)
#define PT_REGS_RET_CORE(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_RET_REG)
#define PT_REGS_FP(x) (__PT_REGS_CAST(x)->__PT_FP_REG)
#define PT_REGS_FP_CORE(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_FP_REG)
#define PT_REGS_RC(x) (__PT_REGS_CAST(x)->__PT_RC_REG)
#define PT_REGS_RC_CORE(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_RC_REG)
#define PT_REGS_SP(x) (__PT_REGS_CAST(x)->__PT_SP_REG)
#define PT_REGS_SP_CORE(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_SP_REG)
#define PT_REGS_IP(x) (__PT_REGS_CAST(x)->__PT_IP_REG)
#define PT_REGS_IP_CORE(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_IP_REG)
#ifndef PT_REGS_PARM1_SYSCALL
#define PT_REGS_PARM1_SYSCALL(x) (__PT_REGS_CAST(x)->__PT_PARM1_SYSCALL_REG)
#define PT_REGS_PARM1_CORE_SYSCALL(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_PARM1_SYSCALL_REG)
#endif
#define PT_REGS_PARM2_SYSCALL(x) (__PT_REGS_CAST(x)->__PT_PARM2_SYSCALL_REG)
#define PT_REGS_PARM2_CORE_SYSCALL(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_PARM2_SYSCALL_REG)
#define PT_REGS_PARM3_SYSCALL(x) (__PT_REGS_CAST(x)->__PT_PARM3_SYSCALL_REG)
#define PT_REGS_PARM3_CORE_SYSCALL(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_PARM3_SYSCALL_REG)
#define PT_REGS_PARM4_SYSCALL(x) (__PT_REGS_CAST(x)->__PT_PARM4_SYSCALL_REG)
#define PT_REGS_PARM4_CORE_SYSCALL(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_PARM4_SYSCALL_REG)
#define PT_REGS_PARM5_SYSCALL(x) (__PT_REGS_CAST(x)->__PT_PARM5_SYSCALL_REG)
#define PT_REGS_PARM5_CORE_SYSCALL(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_PARM5_SYSCALL_REG)
#define PT_REGS_PARM6_SYSCALL(x) (__PT_REGS_CAST(x)->__PT_PARM6_SYSCALL_REG)
#define PT_REGS_PARM6_CORE_SYSCALL(x) BPF_CORE_READ(__PT_REGS_CAST(x), __PT_PARM6_SYSCALL_REG)

/* Where the kernel's own wrappers of system calls have the registers of the call. */
#if defined(bpf_target_x86) || defined(bpf_target_arm64) || defined(bpf_target_riscv)
#define PT_REGS_SYSCALL_REGS(ctx) ((struct pt_regs *)PT_REGS_PARM1(ctx))
#endif

#define BPF_KPROBE_READ_RET_IP(ip, ctx) \
	({ bpf_probe_read_kernel(&(ip), sizeof(ip), (void *)PT_REGS_RET(ctx)); })
#define BPF_KRETPROBE_READ_RET_IP(ip, ctx) \
	({ bpf_probe_read_kernel(&(ip), sizeof(ip), (void *)(PT_REGS_FP(ctx) + sizeof(ip))); })

/* ------------------------------------------------------------------- functions with arguments */

/*
 * Each of these makes two functions: the one that the kernel calls, with a context, and one with
 * the arguments that were written, which the first one calls with what it finds there.
 */
/* The context, and behind it as many arguments as were written. */
#define ___bpf_ctx_args0() ctx
#define ___bpf_ctx_args1(x1) ___bpf_ctx_args0(), (void *)ctx[0]
#define ___bpf_ctx_args2(x1, x2) ___bpf_ctx_args1(x1), (void *)ctx[1]
#define ___bpf_ctx_args3(x1, x2, x3) ___bpf_ctx_args2(x1, x2), (void *)ctx[2]
#define ___bpf_ctx_args4(x1, x2, x3, x4) ___bpf_ctx_args3(x1, x2, x3), (void *)ctx[3]
#define ___bpf_ctx_args5(x1, x2, x3, x4, x5) ___bpf_ctx_args4(x1, x2, x3, x4), (void *)ctx[4]
#define ___bpf_ctx_args6(x1, x2, x3, x4, x5, x6) ___bpf_ctx_args5(x1, x2, x3, x4, x5), (void *)ctx[5]
#define ___bpf_ctx_args7(x1, x2, x3, x4, x5, x6, x7) ___bpf_ctx_args6(x1, x2, x3, x4, x5, x6), (void *)ctx[6]
#define ___bpf_ctx_args8(x1, x2, x3, x4, x5, x6, x7, x8) ___bpf_ctx_args7(x1, x2, x3, x4, x5, x6, x7), (void *)ctx[7]
#define ___bpf_ctx_args9(x1, x2, x3, x4, x5, x6, x7, x8, x9) ___bpf_ctx_args8(x1, x2, x3, x4, x5, x6, x7, x8), (void *)ctx[8]
#define ___bpf_ctx_args10(x1, x2, x3, x4, x5, x6, x7, x8, x9, x10) ___bpf_ctx_args9(x1, x2, x3, x4, x5, x6, x7, x8, x9), (void *)ctx[9]
#define ___bpf_ctx_args11(x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11) ___bpf_ctx_args10(x1, x2, x3, x4, x5, x6, x7, x8, x9, x10), (void *)ctx[10]
#define ___bpf_ctx_args12(x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, x12) ___bpf_ctx_args11(x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11), (void *)ctx[11]

#define ___bpf_kprobe_args0() ctx
#define ___bpf_kprobe_args1(x1) ___bpf_kprobe_args0(), (void *)PT_REGS_PARM1(ctx)
#define ___bpf_kprobe_args2(x1, x2) ___bpf_kprobe_args1(x1), (void *)PT_REGS_PARM2(ctx)
#define ___bpf_kprobe_args3(x1, x2, x3) ___bpf_kprobe_args2(x1, x2), (void *)PT_REGS_PARM3(ctx)
#define ___bpf_kprobe_args4(x1, x2, x3, x4) ___bpf_kprobe_args3(x1, x2, x3), (void *)PT_REGS_PARM4(ctx)
#define ___bpf_kprobe_args5(x1, x2, x3, x4, x5) ___bpf_kprobe_args4(x1, x2, x3, x4), (void *)PT_REGS_PARM5(ctx)
#define ___bpf_kprobe_args6(x1, x2, x3, x4, x5, x6) ___bpf_kprobe_args5(x1, x2, x3, x4, x5), (void *)PT_REGS_PARM6(ctx)
#define ___bpf_kprobe_args7(x1, x2, x3, x4, x5, x6, x7) ___bpf_kprobe_args6(x1, x2, x3, x4, x5, x6), (void *)PT_REGS_PARM7(ctx)
#define ___bpf_kprobe_args8(x1, x2, x3, x4, x5, x6, x7, x8) ___bpf_kprobe_args7(x1, x2, x3, x4, x5, x6, x7), (void *)PT_REGS_PARM8(ctx)

#define ___bpf_syscall_args0() ctx
#define ___bpf_syscall_args1(x1) ___bpf_syscall_args0(), (void *)PT_REGS_PARM1_SYSCALL(regs)
#define ___bpf_syscall_args2(x1, x2) ___bpf_syscall_args1(x1), (void *)PT_REGS_PARM2_SYSCALL(regs)
#define ___bpf_syscall_args3(x1, x2, x3) ___bpf_syscall_args2(x1, x2), (void *)PT_REGS_PARM3_SYSCALL(regs)
#define ___bpf_syscall_args4(x1, x2, x3, x4) ___bpf_syscall_args3(x1, x2, x3), (void *)PT_REGS_PARM4_SYSCALL(regs)
#define ___bpf_syscall_args5(x1, x2, x3, x4, x5) ___bpf_syscall_args4(x1, x2, x3, x4), (void *)PT_REGS_PARM5_SYSCALL(regs)
#define ___bpf_syscall_args6(x1, x2, x3, x4, x5, x6) ___bpf_syscall_args5(x1, x2, x3, x4, x5), (void *)PT_REGS_PARM6_SYSCALL(regs)

#define ___bpf_wrapped_args0() ctx
#define ___bpf_wrapped_args1(x1) ___bpf_wrapped_args0(), (void *)PT_REGS_PARM1_CORE_SYSCALL(regs)
#define ___bpf_wrapped_args2(x1, x2) ___bpf_wrapped_args1(x1), (void *)PT_REGS_PARM2_CORE_SYSCALL(regs)
#define ___bpf_wrapped_args3(x1, x2, x3) ___bpf_wrapped_args2(x1, x2), (void *)PT_REGS_PARM3_CORE_SYSCALL(regs)
#define ___bpf_wrapped_args4(x1, x2, x3, x4) ___bpf_wrapped_args3(x1, x2, x3), (void *)PT_REGS_PARM4_CORE_SYSCALL(regs)
#define ___bpf_wrapped_args5(x1, x2, x3, x4, x5) ___bpf_wrapped_args4(x1, x2, x3, x4), (void *)PT_REGS_PARM5_CORE_SYSCALL(regs)
#define ___bpf_wrapped_args6(x1, x2, x3, x4, x5, x6) ___bpf_wrapped_args5(x1, x2, x3, x4, x5), (void *)PT_REGS_PARM6_CORE_SYSCALL(regs)

#define ___bpf_kretprobe_args0() ctx
#define ___bpf_kretprobe_args1(x1) ctx, (void *)PT_REGS_RC(ctx)

#define ___bpf_passed(family, args...) ___bpf_apply(family, ___bpf_narg(args))(args)

/* A program whose arguments, by what `family` makes of them, are those of a function behind it. */
#define ___bpf_function(type, family, name, args...)                                \
	name(type ctx);                                                             \
	static __always_inline typeof(name(0)) ____##name(type ctx, ##args);        \
	typeof(name(0)) name(type ctx)                                              \
	{                                                                           \
		_Pragma("GCC diagnostic push")                                      \
		_Pragma("GCC diagnostic ignored \"-Wint-conversion\"")              \
		return ____##name(___bpf_passed(family, ##args));                   \
		_Pragma("GCC diagnostic pop")                                       \
	}                                                                           \
	static __always_inline typeof(name(0)) ____##name(type ctx, ##args)

/* fentry, fexit, raw tracepoints with BTF, LSM, struct_ops: an array of 64-bit arguments. */
#define BPF_PROG(name, args...)                                                     \
	___bpf_function(unsigned long long *, ___bpf_ctx_args, name, ##args)

/* kprobes and uprobes: the registers at the function's entry, or at its end. */
struct pt_regs;

#define BPF_KPROBE(name, args...)                                                   \
	___bpf_function(struct pt_regs *, ___bpf_kprobe_args, name, ##args)
#define BPF_KRETPROBE(name, args...)                                                \
	___bpf_function(struct pt_regs *, ___bpf_kretprobe_args, name, ##args)

#define BPF_UPROBE(name, args...) BPF_KPROBE(name, ##args)
#define BPF_URETPROBE(name, args...) BPF_KRETPROBE(name, ##args)

/* System calls; where the kernel wraps them (CONFIG_ARCH_HAS_SYSCALL_WRAPPER), their registers are
 * those that the wrapper was given. */
extern _Bool LINUX_HAS_SYSCALL_WRAPPER __kconfig;

#define BPF_KSYSCALL(name, args...)                                                 \
	name(struct pt_regs *ctx);                                                  \
	static __always_inline typeof(name(0)) ____##name(struct pt_regs *ctx, ##args); \
	typeof(name(0)) name(struct pt_regs *ctx)                                   \
	{                                                                           \
		struct pt_regs *regs = LINUX_HAS_SYSCALL_WRAPPER ? PT_REGS_SYSCALL_REGS(ctx) : ctx; \
		_Pragma("GCC diagnostic push")                                      \
		_Pragma("GCC diagnostic ignored \"-Wint-conversion\"")              \
		return LINUX_HAS_SYSCALL_WRAPPER ?                                  \
			____##name(___bpf_passed(___bpf_wrapped_args, ##args)) :    \
			____##name(___bpf_passed(___bpf_syscall_args, ##args));     \
		_Pragma("GCC diagnostic pop")                                       \
	}                                                                           \
	static __always_inline typeof(name(0)) ____##name(struct pt_regs *ctx, ##args)

#define BPF_KPROBE_SYSCALL BPF_KSYSCALL

#endif /* __BPF_TRACING_H__ */
