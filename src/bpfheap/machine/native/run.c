#include "calls.h"
#include "checks.h"
#include "fault.h"
#include "frame.h"
#include "packet.h"
#include "run.h"

/* Operations, named as isa/ops.py has them: name, width, operand. */
#define ALU(X, n) X(n##64_imm) X(n##64_reg) X(n##32_imm) X(n##32_reg)
#define JCC(X, n) ALU(X, n)
#define ATOMIC(X, n) X(n##32) X(n##64) X(n##32_fetch) X(n##64_fetch)
#define OPS(X)                                                                               \
	ALU(X, add) ALU(X, sub) ALU(X, mul) ALU(X, div) ALU(X, sdiv) ALU(X, or)              \
	ALU(X, and) ALU(X, lsh) ALU(X, rsh) ALU(X, mod) ALU(X, smod) ALU(X, xor)             \
	ALU(X, arsh) ALU(X, mov) X(movsx64_8) X(movsx64_16) X(movsx64_32) X(movsx32_8)       \
	X(movsx32_16) X(neg64) X(neg32) X(le16) X(le32) X(le64) X(be16) X(be32) X(be64)      \
	X(bswap16) X(bswap32) X(bswap64) X(ja) X(may_goto) JCC(X, jeq) JCC(X, jgt)           \
	JCC(X, jge) JCC(X, jset) JCC(X, jne) JCC(X, jsgt) JCC(X, jsge) JCC(X, jlt)           \
	JCC(X, jle) JCC(X, jslt) JCC(X, jsle) X(call) X(callx) X(call_local) X(exit)         \
	X(lddw) X(ldx8) X(ldx16) X(ldx32) X(ldx64) X(ldsx8) X(ldsx16) X(ldsx32)              \
	X(probe_ldx8) X(probe_ldx16) X(probe_ldx32) X(probe_ldx64) X(probe_ldsx8)            \
	X(probe_ldsx16) X(probe_ldsx32) X(st8)                                               \
	X(st16) X(st32) X(st64) X(stx8) X(stx16) X(stx32) X(stx64) ATOMIC(X, add)            \
	ATOMIC(X, or) ATOMIC(X, and) ATOMIC(X, xor) X(xchg32_fetch) X(xchg64_fetch)          \
	X(cmpxchg32_fetch) X(cmpxchg64_fetch) X(load_acquire8) X(load_acquire16)             \
	X(load_acquire32) X(load_acquire64) X(store_release8) X(store_release16)             \
	X(store_release32) X(store_release64) X(ldabs8) X(ldabs16) X(ldabs32) X(ldind8)      \
	X(ldind16) X(ldind32)

enum op {
#define X(name) OP_##name,
	OPS(X)
#undef X
};

const char *const bh_op_names[] = {
#define X(name) #name,
	OPS(X) NULL
#undef X
};

/* -- arithmetic (RFC 9669, section 4.1) */

static uint64_t div64(uint64_t a, uint64_t b)
{
	return b ? a / b : 0;
}

static uint64_t mod64(uint64_t a, uint64_t b)
{
	return b ? a % b : a;
}

static uint64_t sdiv64(int64_t a, int64_t b)
{
	return b == -1 ? -(uint64_t)a : b ? (uint64_t)(a / b) : 0;
}

static uint64_t smod64(int64_t a, int64_t b)
{
	return b == -1 ? 0 : b ? (uint64_t)(a % b) : (uint64_t)a;
}

static uint32_t sdiv32(int32_t a, int32_t b)
{
	return b == -1 ? -(uint32_t)a : b ? (uint32_t)(a / b) : 0;
}

static uint32_t smod32(int32_t a, int32_t b)
{
	return b == -1 ? 0 : b ? (uint32_t)(a % b) : (uint32_t)a;
}

/* -- frames */

void bh_run_begin(struct bh_run *run, const struct bh_prog *prog, void *ctx)
{
	run->prog = prog;
	run->slot = 0;
	run->depth = 0;
	run->goes = 0;
	run->base = 0;
	run->tail_calls = 0;
	run->stop = BH_GOING;
	run->stepping = false;
	run->at_call = false;
	run->callback = false;
	run->begun = false;
	run->locked = false;
	run->lock = NULL;
	run->ctx = ctx;
}

void bh_run_answer(struct bh_run *run, uint64_t r0)
{
	run->r[0] = r0;
	run->slot++;
	run->at_call = false;
}

/* The entry of bh_calls for a number; where there is no such helper, the last one, which refuses. */
static uint64_t call_numbered(const struct bh_prog *prog, uint64_t number)
{
	return number < prog->numbers ? prog->number[number] : bh_call_unknown;
}

/* -- instructions */

/* What an access is about: on a hardened core, what the program may have. */
#define PLACE(n, type, least)                                                                \
	({                                                                                   \
		char *place_ = (char *)(r[n] + (int64_t)in->off);                            \
		if (hardened) {                                                              \
			run->fault = (uintptr_t)place_;                                      \
			place_ = bh_region_at(region, run->fault, sizeof(type), least);      \
			if (BH_UNLIKELY(!place_))                                            \
				goto fault;                                                  \
		}                                                                            \
		place_;                                                                      \
	})
/* A kptr that was only read may be NULL. A load of that gives 0; in Linux, by its exception table */
/* (ex_handler_bpf). */
#define IS_THERE(at) BH_LIKELY((uintptr_t)(at) >= 4096)
#define LOAD(type)                                                                           \
	({                                                                                   \
		char *at_ = PLACE(in->src, type, BH_ZEROS);                                  \
		type value_ = 0;                                                             \
		if (IS_THERE(at_))                                                           \
			memcpy(&value_, at_, sizeof(value_));                                \
		value_;                                                                      \
	})
#define PROBE(type) (type)bh_run_load(run, r[in->src] + (int64_t)in->off, sizeof(type))
#define STORE(type, value)                                                                   \
	do {                                                                                 \
		type value_ = (type)(value);                                                 \
		memcpy(PLACE(in->dst, type, BH_VACANT), &value_, sizeof(value_));            \
	} while (0)
#define SHARED_AT(n, type, least)                                                            \
	({                                                                                   \
		char *at_ = PLACE(n, type, least);                                           \
		if (hardened && (uintptr_t)at_ % sizeof(type))                               \
			goto fault;                                                          \
		(_Atomic type *)at_;                                                         \
	})
#define SHARED(type) SHARED_AT(in->dst, type, BH_VACANT)

#define ALU_OP(name, e64, e32)                                                               \
	case OP_##name##64_imm: {                                                            \
		uint64_t a = r[in->dst], b = (uint64_t)in->imm;                              \
		r[in->dst] = (e64);                                                          \
		break;                                                                       \
	}                                                                                    \
	case OP_##name##64_reg: {                                                            \
		uint64_t a = r[in->dst], b = r[in->src];                                     \
		r[in->dst] = (e64);                                                          \
		break;                                                                       \
	}                                                                                    \
	case OP_##name##32_imm: {                                                            \
		uint32_t a = (uint32_t)r[in->dst], b = (uint32_t)in->imm;                    \
		r[in->dst] = (uint32_t)(e32);                                                \
		break;                                                                       \
	}                                                                                    \
	case OP_##name##32_reg: {                                                            \
		uint32_t a = (uint32_t)r[in->dst], b = (uint32_t)r[in->src];                 \
		r[in->dst] = (uint32_t)(e32);                                                \
		break;                                                                       \
	}
#define ALU_SAME(name, e) ALU_OP(name, e, e)

#define JCC_ONE(op, type, b_, cond)                                                          \
	case OP_##op: {                                                                      \
		type a = (type)r[in->dst], b = (type)(b_);                                   \
		if (cond)                                                                    \
			goto jump;                                                           \
		break;                                                                       \
	}
#define JCC_OP(name, t64, t32, cond)                                                         \
	JCC_ONE(name##64_imm, t64, in->imm, cond)                                            \
	JCC_ONE(name##64_reg, t64, r[in->src], cond)                                         \
	JCC_ONE(name##32_imm, t32, in->imm, cond)                                            \
	JCC_ONE(name##32_reg, t32, r[in->src], cond)

/*
 * Operations that fetch are fully ordered, the others are relaxed. RFC 9669 leaves that open; these are the
 * rules of Linux's memory model.
 */
#define ATOMIC_ONE(name, bits, fetch_)                                                       \
	case OP_##name##bits:                                                                \
		atomic_fetch_##fetch_##_explicit(SHARED(uint##bits##_t),                     \
						 (uint##bits##_t)r[in->src],                 \
						 memory_order_relaxed);                      \
		break;                                                                       \
	case OP_##name##bits##_fetch:                                                        \
		r[in->src] = atomic_fetch_##fetch_(SHARED(uint##bits##_t),                   \
						   (uint##bits##_t)r[in->src]);              \
		break;
#define ATOMIC_OP(name) ATOMIC_ONE(name, 32, name) ATOMIC_ONE(name, 64, name)
#define EXCHANGE(bits)                                                                       \
	case OP_xchg##bits##_fetch:                                                          \
		r[in->src] = atomic_exchange(SHARED(uint##bits##_t),                         \
					     (uint##bits##_t)r[in->src]);                    \
		break;                                                                       \
	case OP_cmpxchg##bits##_fetch: {                                                     \
		uint##bits##_t expected = (uint##bits##_t)r[0];                              \
		atomic_compare_exchange_strong(SHARED(uint##bits##_t), &expected,            \
					       (uint##bits##_t)r[in->src]);                  \
		r[0] = expected;                                                             \
		break;                                                                       \
	}
#define ORDERED(bits)                                                                        \
	case OP_load_acquire##bits: {                                                        \
		_Atomic uint##bits##_t *from = SHARED_AT(in->src, uint##bits##_t, BH_ZEROS); \
		r[in->dst] =                                                                 \
			IS_THERE(from) ? atomic_load_explicit(from, memory_order_acquire) : 0; \
		break;                                                                       \
	}                                                                                    \
	case OP_store_release##bits:                                                         \
		atomic_store_explicit(SHARED(uint##bits##_t), (uint##bits##_t)r[in->src],    \
				      memory_order_release);                                 \
		break;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LE(bits, x) ((uint##bits##_t)(x))
#define BE(bits, x) __builtin_bswap##bits((uint##bits##_t)(x))
#else
#define LE(bits, x) __builtin_bswap##bits((uint##bits##_t)(x))
#define BE(bits, x) ((uint##bits##_t)(x))
#endif
#define ORDER(bits)                                                                          \
	case OP_le##bits: r[in->dst] = LE(bits, r[in->dst]); break;                          \
	case OP_be##bits: r[in->dst] = BE(bits, r[in->dst]); break;                          \
	case OP_bswap##bits: r[in->dst] = __builtin_bswap##bits((uint##bits##_t)r[in->dst]); break;
#define MEMORY(bits)                                                                         \
	case OP_ldx##bits: r[in->dst] = LOAD(uint##bits##_t); break;                         \
	case OP_probe_ldx##bits: r[in->dst] = PROBE(uint##bits##_t); break;                  \
	case OP_st##bits: STORE(uint##bits##_t, in->imm); break;                             \
	case OP_stx##bits: STORE(uint##bits##_t, r[in->src]); break;

uint64_t bh_call_by_number(struct bh_run *run, uint64_t number)
{
	number = call_numbered(run->prog, number);
	return run->window ? bh_call_checked(run, number) : bh_calls[number](run, run->r);
}

static enum bh_stop interpret(struct bh_run *run);

uint64_t bh_run_tail(struct bh_run *run, struct bh_prog *prog)
{
	const struct bh_prog *before = run->prog;

	run->prog = prog;
	if (prog->code) {
		uint64_t r0 = prog->code(run, (uintptr_t)run->ctx, 0);

		run->prog = before;
		return r0;
	}
	run->slot = 0;
	run->depth = 0;
	run->goes = 0;
	run->base = 0;
	run->r[1] = (uintptr_t)run->ctx;
	run->r[10] = (uintptr_t)bh_run_top(run);
	if (interpret(run) != BH_DONE)
		return 0;
	run->stop = BH_GOING;
	run->prog = before;
	return run->r[0];
}

/* Of a run that ended: on a hardened core it does not keep others from a value. */
static enum bh_stop ended(struct bh_run *run)
{
	/* It went on without a lock that it could not have. */
	if (BH_UNLIKELY(run->here.tired) && run->stop == BH_DONE)
		run->stop = BH_PAUSE;
	if (BH_UNLIKELY(run->window != NULL) && run->lock && run->stop != BH_AT_CALL &&
	    run->stop != BH_AGAIN && run->stop != BH_OUTSIDE) {
		bh_unlock(run->lock);
		run->lock = NULL;
		run->locked = false;
	}
	return run->stop;
}

/* Enter machine code. */
static enum bh_stop run_code(struct bh_run *run)
{
	run->stop = BH_GOING;
	run->machine_stack = (uintptr_t)__builtin_frame_address(0);
	if (run->window) {
		run->sp = (uintptr_t)(run->window->stack + BH_FRAMES);
		run->sp_end = (uintptr_t)run->window->below;
		run->r[0] = bh_run_guarded(run, run->r[1], run->r[2]);
	} else {
		run->r[0] = run->prog->code(run, run->r[1], run->r[2]);
	}
	if (BH_LIKELY(run->stop == BH_GOING))
		run->stop = BH_DONE;
	return ended(run);
}

enum bh_stop bh_run_go(struct bh_run *run)
{
	if (!run->begun) {
		run->begun = true;
		if (!run->stepping && run->prog->code)
			return run_code(run);
		run->r[10] = (uintptr_t)bh_run_top(run);
		run->machine_stack = 0;
	}
	interpret(run);
	return ended(run);
}
enum bh_stop bh_run_whole(struct bh_run *run, const struct bh_prog *prog, void *ctx, uint64_t size)
{
	if (BH_UNLIKELY(!prog->code)) {
		bh_run_begin(run, prog, ctx);
		run->r[1] = (uintptr_t)ctx;
		run->r[2] = size;
		return bh_run_go(run);
	}
	run->prog = prog;
	run->ctx = ctx;
	run->tail_calls = 0;
	run->stepping = false;
	run->locked = false;
	run->lock = NULL;
	run->r[1] = (uintptr_t)ctx;
	run->r[2] = size;
	return run_code(run);
}

/* Not checked by the thread sanitizer: programs may race for the values of maps, as on Linux. */
__attribute__((no_sanitize("thread"), always_inline)) static inline enum bh_stop
interpret_as(struct bh_run *run, const bool hardened)
{
	const struct bh_region *region = bh_region_of(run->here.core);
	uint64_t *r = run->r;
	const struct bh_insn *code = run->prog->insn, *in = code + run->slot;

	run->stop = BH_GOING;
	for (;; in++) {
		switch ((enum op)in->op) {
		ALU_SAME(add, a + b)
		ALU_SAME(sub, a - b)
		ALU_SAME(mul, a * b)
		ALU_OP(div, div64(a, b), div64(a, b))
		ALU_OP(sdiv, sdiv64((int64_t)a, (int64_t)b), sdiv32((int32_t)a, (int32_t)b))
		ALU_SAME(or, a | b)
		ALU_SAME(and, a & b)
		ALU_OP(lsh, a << (b & 63), a << (b & 31))
		ALU_OP(rsh, a >> (b & 63), a >> (b & 31))
		ALU_OP(mod, mod64(a, b), mod64(a, b))
		ALU_OP(smod, smod64((int64_t)a, (int64_t)b), smod32((int32_t)a, (int32_t)b))
		ALU_SAME(xor, a ^ b)
		ALU_OP(arsh, (uint64_t)((int64_t)a >> (b & 63)), (uint32_t)((int32_t)a >> (b & 31)))
		case OP_mov64_imm: r[in->dst] = (uint64_t)in->imm; break;
		case OP_mov64_reg: r[in->dst] = r[in->src]; break;
		case OP_mov32_imm: r[in->dst] = (uint32_t)in->imm; break;
		case OP_mov32_reg: r[in->dst] = (uint32_t)r[in->src]; break;
		case OP_movsx64_8: r[in->dst] = (uint64_t)(int8_t)r[in->src]; break;
		case OP_movsx64_16: r[in->dst] = (uint64_t)(int16_t)r[in->src]; break;
		case OP_movsx64_32: r[in->dst] = (uint64_t)(int32_t)r[in->src]; break;
		case OP_movsx32_8: r[in->dst] = (uint32_t)(int8_t)r[in->src]; break;
		case OP_movsx32_16: r[in->dst] = (uint32_t)(int16_t)r[in->src]; break;
		case OP_neg64: r[in->dst] = -r[in->dst]; break;
		case OP_neg32: r[in->dst] = -(uint32_t)r[in->dst]; break;
		ORDER(16)
		ORDER(32)
		ORDER(64)
		case OP_ja: goto jump;
		case OP_may_goto:
			if (run->goes == BH_LOOPS)
				goto jump;
			run->goes++;
			break;
		JCC_OP(jeq, uint64_t, uint32_t, a == b)
		JCC_OP(jgt, uint64_t, uint32_t, a > b)
		JCC_OP(jge, uint64_t, uint32_t, a >= b)
		JCC_OP(jset, uint64_t, uint32_t, a & b)
		JCC_OP(jne, uint64_t, uint32_t, a != b)
		JCC_OP(jsgt, int64_t, int32_t, a > b)
		JCC_OP(jsge, int64_t, int32_t, a >= b)
		JCC_OP(jlt, uint64_t, uint32_t, a < b)
		JCC_OP(jle, uint64_t, uint32_t, a <= b)
		JCC_OP(jslt, int64_t, int32_t, a < b)
		JCC_OP(jsle, int64_t, int32_t, a <= b)
		jump:
			if (in->off < 0 && BH_UNLIKELY(!bh_run_step(run))) {
				run->slot = (uint32_t)(in - code) + 1 + (uint32_t)in->off;
				return run->stop = BH_PAUSE;
			}
			in += in->off;
			break;
		case OP_lddw:
			r[in->dst] = (uint64_t)in->imm;
			in++;
			break;
		MEMORY(8)
		MEMORY(16)
		MEMORY(32)
		MEMORY(64)
		case OP_ldsx8: r[in->dst] = (uint64_t)(int64_t)(int8_t)LOAD(uint8_t); break;
		case OP_ldsx16: r[in->dst] = (uint64_t)(int64_t)(int16_t)LOAD(uint16_t); break;
		case OP_ldsx32: r[in->dst] = (uint64_t)(int64_t)(int32_t)LOAD(uint32_t); break;
		case OP_probe_ldsx8: r[in->dst] = (uint64_t)(int64_t)PROBE(int8_t); break;
		case OP_probe_ldsx16: r[in->dst] = (uint64_t)(int64_t)PROBE(int16_t); break;
		case OP_probe_ldsx32: r[in->dst] = (uint64_t)(int64_t)PROBE(int32_t); break;
		ATOMIC_OP(add)
		ATOMIC_OP(or)
		ATOMIC_OP(and)
		ATOMIC_OP(xor)
		EXCHANGE(32)
		EXCHANGE(64)
		ORDERED(8)
		ORDERED(16)
		ORDERED(32)
		ORDERED(64)
		case OP_call_local: {
			struct bh_frame frame = { .slot = (uint32_t)(in - code) };

			/* Functions that call one another many times need no loop to run on. */
			if ((hardened && !bh_run_step(run)) || !bh_run_push(run, &frame)) {
				run->slot = frame.slot;
				return run->stop;
			}
			in += in->off;
			break;
		}
		case OP_callx:
		case OP_call: {
			uint64_t number = (uint64_t)in->imm, r0;

			run->slot = (uint32_t)(in - code);
			if (in->op == OP_callx)
				number = call_numbered(run->prog, r[in->dst]);
			if (run->stepping && !run->at_call) {
				run->at_call = true;
				return run->stop = BH_AT_CALL;
			}
			if (BH_UNLIKELY(!bh_run_step(run))) {
				run->at_call = true;
				return run->stop = BH_PAUSE;
			}
			run->callback = false;
			r0 = hardened ? bh_call_checked(run, number) : bh_calls[number](run, r);
			if (BH_UNLIKELY(run->stop != BH_GOING)) {
				run->at_call = true;
				return run->stop;
			}
			run->at_call = false;
			if (run->callback) {
				run->callback = false;
				if (BH_UNLIKELY(run->slot == BH_LEAVE))
					goto leave;
				code = run->prog->insn;
				in = code + run->slot - 1;
			} else {
				r[0] = r0;
			}
			break;
		}
		case OP_ldabs8:
		case OP_ldabs16:
		case OP_ldabs32:
		case OP_ldind8:
		case OP_ldind16:
		case OP_ldind32: {
			uint32_t index = in->op >= OP_ldind8 ? (uint32_t)r[in->src] : 0;
			int64_t found;

			run->slot = (uint32_t)(in - code);
			found = bh_packet_load(run, (int32_t)(index + (uint32_t)in->imm),
					       1u << (in->op - OP_ldabs8) % 3);
			if (BH_UNLIKELY(run->stop != BH_GOING))
				return run->stop;
			r[0] = found < 0 ? 0 : (uint64_t)found;
			if (found >= 0)
				break;
		}
			/* The function ends, too (bpf_gen_ld_abs). */
			__attribute__((fallthrough));
		case OP_exit:
		leave:
			if (!bh_run_leave(run)) {
				run->slot = (uint32_t)(in - code);
				return run->stop = BH_DONE;
			}
			if (BH_UNLIKELY(run->stop != BH_GOING))
				return run->stop;
			code = run->prog->insn;
			in = code + run->slot - 1;
			break;
		}
	}
fault:
	run->pc = 0;
	run->slot = (uint32_t)(in - code);
	return run->stop = BH_FAULT;
}

__attribute__((no_sanitize("thread"))) static enum bh_stop interpret_plain(struct bh_run *run)
{
	return interpret_as(run, false);
}

__attribute__((no_sanitize("thread"))) static enum bh_stop interpret_hardened(struct bh_run *run)
{
	return interpret_as(run, true);
}

static enum bh_stop interpret(struct bh_run *run)
{
	return run->window ? interpret_hardened(run) : interpret_plain(run);
}
