/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usdt.bpf.h - arguments of the static probes of a process (USDT). The names are libbpf's.
 *
 * Where an argument is depends on the probe: user space finds it in the notes of the ELF file and
 * puts it into the two maps. Its structs, and so the places of members here, are those of libbpf's
 * usdt.c.
 */
#ifndef __USDT_BPF_H__
#define __USDT_BPF_H__

#include <linux/errno.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* How many different probes there may be, and how many places where one is. */
#ifndef BPF_USDT_MAX_SPEC_CNT
#define BPF_USDT_MAX_SPEC_CNT 256
#endif
#ifndef BPF_USDT_MAX_IP_CNT
#define BPF_USDT_MAX_IP_CNT (4 * BPF_USDT_MAX_SPEC_CNT)
#endif
#define BPF_USDT_MAX_ARG_CNT 12

enum __bpf_usdt_arg_type {
	BPF_USDT_ARG_CONST, /* the number itself */
	BPF_USDT_ARG_REG, /* in a register */
	BPF_USDT_ARG_REG_DEREF, /* in memory, at a register */
	BPF_USDT_ARG_SIB, /* in memory, at a register and a multiple of another one */
};

struct __bpf_usdt_arg_spec {
	__u64 val_off; /* the number, or the distance from the registers */
	enum __bpf_usdt_arg_type arg_type : 8;
	__u16 idx_reg_off : 12; /* byte in struct pt_regs, as reg_off */
	__u16 scale_bitshift : 4;
	__u8 __reserved : 8;
	short reg_off;
	_Bool arg_signed;
	char arg_bitshift; /* 64 less the argument's bits */
};

struct __bpf_usdt_spec {
	struct __bpf_usdt_arg_spec args[BPF_USDT_MAX_ARG_CNT];
	__u64 usdt_cookie;
	short arg_cnt;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BPF_USDT_MAX_SPEC_CNT);
	__type(key, int);
	__type(value, struct __bpf_usdt_spec);
} __bpf_usdt_specs SEC(".maps") __weak;

/* For kernels that give programs no cookies. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BPF_USDT_MAX_IP_CNT);
	__type(key, long);
	__type(value, __u32);
} __bpf_usdt_ip_to_spec_id SEC(".maps") __weak;

extern const _Bool LINUX_HAS_BPF_COOKIE __kconfig;

/* The probe's number in the first map, negative if it has none. */
static __always_inline int __bpf_usdt_spec_id(struct pt_regs *ctx)
{
	int *known;
	long ip;

	if (LINUX_HAS_BPF_COOKIE)
		return bpf_get_attach_cookie(ctx);
	ip = PT_REGS_IP(ctx);
	known = bpf_map_lookup_elem(&__bpf_usdt_ip_to_spec_id, &ip);
	return known ? *known : -ESRCH;
}

/* What is known of the probe; NULL if it is nothing. */
static __always_inline struct __bpf_usdt_spec *___bpf_usdt_probe(struct pt_regs *ctx)
{
	int number = __bpf_usdt_spec_id(ctx);

	return number < 0 ? NULL : bpf_map_lookup_elem(&__bpf_usdt_specs, &number);
}

/* What is known of an argument. Returns 0, or a negative error. */
static __always_inline int ___bpf_usdt_place(struct pt_regs *ctx, __u64 arg_num,
					     struct __bpf_usdt_arg_spec **place)
{
	struct __bpf_usdt_spec *probe = ___bpf_usdt_probe(ctx);

	if (!probe)
		return -ESRCH;
	if (arg_num >= BPF_USDT_MAX_ARG_CNT)
		return -ENOENT;
	/* Both limits are tests of the same register, or the verifier would know neither. */
	barrier_var(arg_num);
	if (arg_num >= probe->arg_cnt)
		return -ENOENT;
	*place = &probe->args[arg_num];
	return 0;
}

/* How many arguments the probe has; negative if nothing is known of it. */
__weak __hidden int bpf_usdt_arg_cnt(struct pt_regs *ctx)
{
	struct __bpf_usdt_spec *probe = ___bpf_usdt_probe(ctx);

	return probe ? probe->arg_cnt : -ESRCH;
}

/* The bytes of an argument; negative if there is none of that number. */
static __always_inline int bpf_usdt_arg_size(struct pt_regs *ctx, __u64 arg_num)
{
	struct __bpf_usdt_arg_spec *place;
	int err = ___bpf_usdt_place(ctx, arg_num, &place);

	return err ?: (unsigned int)(64 - place->arg_bitshift) / 8;
}

/* Gives the value of an argument, 0 where there is none. Returns 0, or a negative error. */
__weak __hidden int bpf_usdt_arg(struct pt_regs *ctx, __u64 arg_num, long *res)
{
	struct __bpf_usdt_arg_spec *place;
	unsigned long val, index = 0;
	int err;

	*res = 0;
	err = ___bpf_usdt_place(ctx, arg_num, &place);
	if (err)
		return err;

	switch (place->arg_type) {
	case BPF_USDT_ARG_CONST:
		val = place->val_off;
		break;
	case BPF_USDT_ARG_REG:
		err = bpf_probe_read_kernel(&val, sizeof(val), (void *)ctx + place->reg_off);
		break;
	case BPF_USDT_ARG_SIB:
		err = bpf_probe_read_kernel(&index, sizeof(index), (void *)ctx + place->idx_reg_off);
		if (err)
			break;
		index <<= place->scale_bitshift;
		/* fallthrough */
	case BPF_USDT_ARG_REG_DEREF:
		err = bpf_probe_read_kernel(&val, sizeof(val), (void *)ctx + place->reg_off);
		if (!err)
			err = bpf_probe_read_user(&val, sizeof(val),
						  (void *)val + index + place->val_off);
		break;
	default:
		return -EINVAL;
	}
	if (err)
		return err;

	/* What lies above the argument goes, and its sign comes. */
	val <<= place->arg_bitshift;
	*res = place->arg_signed ? (long)val >> place->arg_bitshift : val >> place->arg_bitshift;
	return 0;
}

/* The number that user space gave the probe when it was attached. */
__weak __hidden long bpf_usdt_cookie(struct pt_regs *ctx)
{
	struct __bpf_usdt_spec *probe = ___bpf_usdt_probe(ctx);

	return probe ? probe->usdt_cookie : 0;
}

/* ------------------------------------------------------------------- functions with arguments */

#define ___bpf_usdt_paste(a, b) a##b
#define ___bpf_usdt_join(a, b) ___bpf_usdt_paste(a, b)

#define ___bpf_usdt_value(number)                                                   \
	({                                                                          \
		long ___value;                                                      \
		bpf_usdt_arg(ctx, number, &___value);                               \
		___value;                                                           \
	})

/* The context, and behind it as many arguments as were written. */
#define ___bpf_usdt_args0 ctx
#define ___bpf_usdt_args1 ___bpf_usdt_args0, ___bpf_usdt_value(0)
#define ___bpf_usdt_args2 ___bpf_usdt_args1, ___bpf_usdt_value(1)
#define ___bpf_usdt_args3 ___bpf_usdt_args2, ___bpf_usdt_value(2)
#define ___bpf_usdt_args4 ___bpf_usdt_args3, ___bpf_usdt_value(3)
#define ___bpf_usdt_args5 ___bpf_usdt_args4, ___bpf_usdt_value(4)
#define ___bpf_usdt_args6 ___bpf_usdt_args5, ___bpf_usdt_value(5)
#define ___bpf_usdt_args7 ___bpf_usdt_args6, ___bpf_usdt_value(6)
#define ___bpf_usdt_args8 ___bpf_usdt_args7, ___bpf_usdt_value(7)
#define ___bpf_usdt_args9 ___bpf_usdt_args8, ___bpf_usdt_value(8)
#define ___bpf_usdt_args10 ___bpf_usdt_args9, ___bpf_usdt_value(9)
#define ___bpf_usdt_args11 ___bpf_usdt_args10, ___bpf_usdt_value(10)
#define ___bpf_usdt_args12 ___bpf_usdt_args11, ___bpf_usdt_value(11)

#define BPF_USDT(name, args...)                                                     \
	name(struct pt_regs *ctx);                                                  \
	static __always_inline typeof(name(0)) ____##name(struct pt_regs *ctx, ##args); \
	typeof(name(0)) name(struct pt_regs *ctx)                                   \
	{                                                                           \
		_Pragma("GCC diagnostic push")                                      \
		_Pragma("GCC diagnostic ignored \"-Wint-conversion\"")              \
		return ____##name(___bpf_usdt_join(___bpf_usdt_args, ___bpf_narg(args))); \
		_Pragma("GCC diagnostic pop")                                       \
	}                                                                           \
	static __always_inline typeof(name(0)) ____##name(struct pt_regs *ctx, ##args)

#endif /* __USDT_BPF_H__ */
