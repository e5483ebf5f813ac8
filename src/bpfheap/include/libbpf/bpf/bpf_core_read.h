/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpf_core_read.h - reading members by name: where a member is, and whether it is there, is known
 * when the program is loaded (CO-RE). The names are libbpf's.
 */
#ifndef __BPF_CORE_READ_H__
#define __BPF_CORE_READ_H__

#include <bpf/bpf_helpers.h>

/* What can be asked, by the numbers that compilers and loaders have for it. */
enum bpf_field_info_kind {
	BPF_FIELD_BYTE_OFFSET = 0,
	BPF_FIELD_BYTE_SIZE = 1,
	BPF_FIELD_EXISTS = 2,
	BPF_FIELD_SIGNED = 3,
	BPF_FIELD_LSHIFT_U64 = 4,
	BPF_FIELD_RSHIFT_U64 = 5,
};

enum bpf_type_id_kind {
	BPF_TYPE_ID_LOCAL = 0,
	BPF_TYPE_ID_TARGET = 1,
};

enum bpf_type_info_kind {
	BPF_TYPE_EXISTS = 0,
	BPF_TYPE_SIZE = 1,
	BPF_TYPE_MATCHES = 2,
};

enum bpf_enum_value_kind {
	BPF_ENUMVAL_EXISTS = 0,
	BPF_ENUMVAL_VALUE = 1,
};

#define __CORE_RELO(src, field, info) \
	__builtin_preserve_field_info((src)->field, BPF_FIELD_##info)

/* A field is given as an expression, or as a type and a member. */
#define ___bpf_field_ref1(field) (field)
#define ___bpf_field_ref2(type, field) (((typeof(type) *)0)->field)
#define ___bpf_field_ref(args...) \
	___bpf_apply(___bpf_field_ref, ___bpf_narg(args))(args)

#define bpf_core_field_exists(field...) \
	__builtin_preserve_field_info(___bpf_field_ref(field), BPF_FIELD_EXISTS)
#define bpf_core_field_size(field...) \
	__builtin_preserve_field_info(___bpf_field_ref(field), BPF_FIELD_BYTE_SIZE)
#define bpf_core_field_offset(field...) \
	__builtin_preserve_field_info(___bpf_field_ref(field), BPF_FIELD_BYTE_OFFSET)

#define ___bpf_typeof(type) ((typeof(type) *)0)
#define bpf_core_type_id_local(type) \
	__builtin_btf_type_id(*___bpf_typeof(type), BPF_TYPE_ID_LOCAL)
#define bpf_core_type_id_kernel(type) \
	__builtin_btf_type_id(*___bpf_typeof(type), BPF_TYPE_ID_TARGET)
#define bpf_core_type_exists(type) \
	__builtin_preserve_type_info(*___bpf_typeof(type), BPF_TYPE_EXISTS)
#define bpf_core_type_matches(type) \
	__builtin_preserve_type_info(*___bpf_typeof(type), BPF_TYPE_MATCHES)
#define bpf_core_type_size(type) \
	__builtin_preserve_type_info(*___bpf_typeof(type), BPF_TYPE_SIZE)
#define bpf_core_enum_value_exists(enum_type, enum_value) \
	__builtin_preserve_enum_value(*(typeof(enum_type) *)enum_value, BPF_ENUMVAL_EXISTS)
#define bpf_core_enum_value(enum_type, enum_value) \
	__builtin_preserve_enum_value(*(typeof(enum_type) *)enum_value, BPF_ENUMVAL_VALUE)

extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;
#define bpf_core_cast(ptr, type) \
	((typeof(type) *)bpf_rdonly_cast((ptr), bpf_core_type_id_kernel(type)))

/* ------------------------------------------------------------------------ a pointer's target */

#define bpf_core_read(dst, sz, src) \
	bpf_probe_read_kernel(dst, sz, (const void *)__builtin_preserve_access_index(src))
#define bpf_core_read_user(dst, sz, src) \
	bpf_probe_read_user(dst, sz, (const void *)__builtin_preserve_access_index(src))
#define bpf_core_read_str(dst, sz, src) \
	bpf_probe_read_kernel_str(dst, sz, (const void *)__builtin_preserve_access_index(src))
#define bpf_core_read_user_str(dst, sz, src) \
	bpf_probe_read_user_str(dst, sz, (const void *)__builtin_preserve_access_index(src))
#define ___bpf_plain_read(dst, sz, src) bpf_probe_read_kernel(dst, sz, src)
#define ___bpf_plain_read_user(dst, sz, src) bpf_probe_read_user(dst, sz, src)
#define ___bpf_plain_read_str(dst, sz, src) bpf_probe_read_kernel_str(dst, sz, src)
#define ___bpf_plain_read_user_str(dst, sz, src) bpf_probe_read_user_str(dst, sz, src)

/* ------------------------------------------------------------------------------ whole paths */

/* src->a->b->c, and its type. Programs use these names, too. */
#define ___arrow1(a) a
#define ___arrow2(a, b) a->b
#define ___arrow3(a, b, args...) a->b->args
#define ___arrow4(a, b, args...) a->___arrow3(b, args)
#define ___arrow5(a, b, args...) a->___arrow4(b, args)
#define ___arrow6(a, b, args...) a->___arrow5(b, args)
#define ___arrow7(a, b, args...) a->___arrow6(b, args)
#define ___arrow8(a, b, args...) a->___arrow7(b, args)
#define ___arrow9(a, b, args...) a->___arrow8(b, args)
#define ___arrow10(a, b, args...) a->___arrow9(b, args)
#define ___arrow(args...) ___bpf_apply(___arrow, ___bpf_narg(args))(args)

#define ___type(args...) typeof(___arrow(args))
/* Its type where it is read into: a value is not const, which the member may be. An array stays one. */
#define ___bpf_value(x)                                                             \
	typeof(__builtin_choose_expr(                                               \
		__builtin_types_compatible_p(typeof(x), typeof(({ x; }))), ({ x; }), x))

/*
 * One read for each arrow. `step` reads a pointer on the way, `last` what is wanted; each pointer
 * that was read is a variable of the scope that the next step opens, so that none is in the way of
 * another.
 */
#define ___bpf_walk1(last, step, dst, size, src, a) last(dst, size, &(src)->a)
#define ___bpf_walk2(last, step, dst, size, src, a, rest...)                        \
	({                                                                          \
		___bpf_value((src)->a) ___1;                                        \
		step(&___1, sizeof(___1), &(src)->a);                               \
		___bpf_walk1(last, step, dst, size, ___1, rest);                    \
	})
#define ___bpf_walk3(last, step, dst, size, src, a, rest...)                        \
	({                                                                          \
		___bpf_value((src)->a) ___2;                                        \
		step(&___2, sizeof(___2), &(src)->a);                               \
		___bpf_walk2(last, step, dst, size, ___2, rest);                    \
	})
#define ___bpf_walk4(last, step, dst, size, src, a, rest...)                        \
	({                                                                          \
		___bpf_value((src)->a) ___3;                                        \
		step(&___3, sizeof(___3), &(src)->a);                               \
		___bpf_walk3(last, step, dst, size, ___3, rest);                    \
	})
#define ___bpf_walk5(last, step, dst, size, src, a, rest...)                        \
	({                                                                          \
		___bpf_value((src)->a) ___4;                                        \
		step(&___4, sizeof(___4), &(src)->a);                               \
		___bpf_walk4(last, step, dst, size, ___4, rest);                    \
	})
#define ___bpf_walk6(last, step, dst, size, src, a, rest...)                        \
	({                                                                          \
		___bpf_value((src)->a) ___5;                                        \
		step(&___5, sizeof(___5), &(src)->a);                               \
		___bpf_walk5(last, step, dst, size, ___5, rest);                    \
	})
#define ___bpf_walk7(last, step, dst, size, src, a, rest...)                        \
	({                                                                          \
		___bpf_value((src)->a) ___6;                                        \
		step(&___6, sizeof(___6), &(src)->a);                               \
		___bpf_walk6(last, step, dst, size, ___6, rest);                    \
	})
#define ___bpf_walk8(last, step, dst, size, src, a, rest...)                        \
	({                                                                          \
		___bpf_value((src)->a) ___7;                                        \
		step(&___7, sizeof(___7), &(src)->a);                               \
		___bpf_walk7(last, step, dst, size, ___7, rest);                    \
	})
#define ___bpf_walk9(last, step, dst, size, src, a, rest...)                        \
	({                                                                          \
		___bpf_value((src)->a) ___8;                                        \
		step(&___8, sizeof(___8), &(src)->a);                               \
		___bpf_walk8(last, step, dst, size, ___8, rest);                    \
	})
#define ___bpf_walk(last, step, dst, size, src, a, rest...) \
	___bpf_apply(___bpf_walk, ___bpf_narg(a, ##rest))(last, step, dst, size, src, a, ##rest)

#define BPF_CORE_READ_INTO(dst, src, a, ...)                                        \
	({ ___bpf_walk(bpf_core_read, bpf_core_read, dst, sizeof(*(dst)), src, a, ##__VA_ARGS__); })
#define BPF_CORE_READ_STR_INTO(dst, src, a, ...)                                    \
	({ ___bpf_walk(bpf_core_read_str, bpf_core_read, dst, sizeof(*(dst)), src, a, ##__VA_ARGS__); })
#define BPF_CORE_READ(src, a, ...)                                           \
	({                                                                          \
		___bpf_value(___arrow((src), a, ##__VA_ARGS__)) ___r; \
		BPF_CORE_READ_INTO(&___r, (src), a, ##__VA_ARGS__);           \
		___r;                                                               \
	})
#define BPF_CORE_READ_USER_INTO(dst, src, a, ...)                                   \
	({ ___bpf_walk(bpf_core_read_user, bpf_core_read_user, dst, sizeof(*(dst)), src, a, ##__VA_ARGS__); })
#define BPF_CORE_READ_USER_STR_INTO(dst, src, a, ...)                               \
	({ ___bpf_walk(bpf_core_read_user_str, bpf_core_read_user, dst, sizeof(*(dst)), src, a, ##__VA_ARGS__); })
#define BPF_CORE_READ_USER(src, a, ...)                                           \
	({                                                                          \
		___bpf_value(___arrow((src), a, ##__VA_ARGS__)) ___r; \
		BPF_CORE_READ_USER_INTO(&___r, (src), a, ##__VA_ARGS__);           \
		___r;                                                               \
	})
#define BPF_PROBE_READ_INTO(dst, src, a, ...)                                       \
	({ ___bpf_walk(___bpf_plain_read, ___bpf_plain_read, dst, sizeof(*(dst)), src, a, ##__VA_ARGS__); })
#define BPF_PROBE_READ_STR_INTO(dst, src, a, ...)                                   \
	({ ___bpf_walk(___bpf_plain_read_str, ___bpf_plain_read, dst, sizeof(*(dst)), src, a, ##__VA_ARGS__); })
#define BPF_PROBE_READ(src, a, ...)                                           \
	({                                                                          \
		___bpf_value(___arrow((src), a, ##__VA_ARGS__)) ___r; \
		BPF_PROBE_READ_INTO(&___r, (src), a, ##__VA_ARGS__);           \
		___r;                                                               \
	})
#define BPF_PROBE_READ_USER_INTO(dst, src, a, ...)                                  \
	({ ___bpf_walk(___bpf_plain_read_user, ___bpf_plain_read_user, dst, sizeof(*(dst)), src, a, ##__VA_ARGS__); })
#define BPF_PROBE_READ_USER_STR_INTO(dst, src, a, ...)                              \
	({ ___bpf_walk(___bpf_plain_read_user_str, ___bpf_plain_read_user, dst, sizeof(*(dst)), src, a, ##__VA_ARGS__); })
#define BPF_PROBE_READ_USER(src, a, ...)                                           \
	({                                                                          \
		___bpf_value(___arrow((src), a, ##__VA_ARGS__)) ___r; \
		BPF_PROBE_READ_USER_INTO(&___r, (src), a, ##__VA_ARGS__);           \
		___r;                                                               \
	})

/* -------------------------------------------------------------------------------- bitfields */

/* The 64 bits that have the field are shifted until nothing else is left of them. */
#define ___bpf_bits(val, s, field)                                                  \
	(val <<= __CORE_RELO(s, field, LSHIFT_U64),                                 \
	 __CORE_RELO(s, field, SIGNED) ?                                            \
		 (unsigned long long)((long long)val >> __CORE_RELO(s, field, RSHIFT_U64)) : \
		 val >> __CORE_RELO(s, field, RSHIFT_U64))

#define BPF_CORE_READ_BITFIELD(s, field)                                            \
	({                                                                          \
		const void *___at = (const void *)(s) + __CORE_RELO(s, field, BYTE_OFFSET); \
		unsigned long long ___val = 0;                                      \
		barrier_var(___at);                                                 \
		switch (__CORE_RELO(s, field, BYTE_SIZE)) {                         \
		case 1: ___val = *(const unsigned char *)___at; break;              \
		case 2: ___val = *(const unsigned short *)___at; break;             \
		case 4: ___val = *(const unsigned int *)___at; break;               \
		case 8: ___val = *(const unsigned long long *)___at; break;         \
		}                                                                   \
		___bpf_bits(___val, s, field);                                      \
	})

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ___bpf_bits_begin(dst, size) (dst)
#else
#define ___bpf_bits_begin(dst, size) ((void *)(dst) + (8 - (size)))
#endif

#define BPF_CORE_READ_BITFIELD_PROBED(s, field)                                     \
	({                                                                          \
		unsigned long long ___val = 0;                                      \
		bpf_probe_read_kernel(                                              \
			___bpf_bits_begin(&___val, __CORE_RELO(s, field, BYTE_SIZE)), \
			__CORE_RELO(s, field, BYTE_SIZE),                           \
			(const void *)(s) + __CORE_RELO(s, field, BYTE_OFFSET));    \
		___bpf_bits(___val, s, field);                                      \
	})

#endif /* __BPF_CORE_READ_H__ */
