/* Programs and runs, as all that runs programs knows them. */
#ifndef BPFHEAP_RECORD_H
#define BPFHEAP_RECORD_H

#include "map.h"

enum {
	BH_STACK = 512,
	BH_FRAMES = 8,	      /* MAX_CALL_FRAMES */
	BH_TAIL_CALLS = 33,   /* MAX_TAIL_CALL_CNT */
	BH_LOOPS = 1 << 23,   /* BPF_MAX_LOOPS */
	BH_PACKET = 1 << 16,  /* headroom, frame, tail */
};

/* Slots of a program are those of its BPF code; `op` is what bh_op_names says. */
struct bh_insn {
	uint16_t op;
	uint8_t dst, src;
	int32_t off;
	int64_t imm;
};

enum { BH_PERCPU_TYPE = 1 << 30 }; /* in a site's type: objects with a copy for each CPU */

/* What bpf_mem_alloc of an allocator and a type of the program comes from. */
struct bh_site {
	const struct bh_heap *heap;
	uint32_t type;
	struct bh_unit *unit;
};

/* What a call is given, for hardened cores. */
enum bh_arg_kind {
	BH_ARG_ANY,
	BH_ARG_MAP,
	BH_ARG_VALUES,	 /* a map, of which programs may change the values */
	BH_ARG_RING,	 /* a map that is a ring buffer */
	BH_ARG_PROGRAMS, /* a map of programs */
	BH_ARG_KEY,	 /* of the first argument, which is a map */
	BH_ARG_VALUE,	 /* the same */
	BH_ARG_READ,	 /* memory, as long as the next argument says */
	BH_ARG_OR_NULL,	 /* the same, or NULL, which the call looks for */
	BH_ARG_WRITE,	 /* the same, to be written */
	BH_ARG_PLACE,	 /* memory of `size`, aligned to 8, or to `size` if that is less */
	BH_ARG_RECORD,	 /* of a ring buffer: there is a header before it */
	BH_ARG_OBJECT,
	BH_ARG_COUNTED, /* an object with a count of owners */
	BH_ARG_CODE,	/* a slot of the program */
	BH_ARG_COPIES,	/* an object, or a variable of the kernel, with a copy for each CPU */
};

enum { BH_ARGS = 5 };

struct bh_arg {
	uint8_t kind, size;
};

struct bh_run;
typedef uint64_t (*bh_code)(struct bh_run *run, uint64_t r1, uint64_t r2);

struct bh_prog {
	uint32_t id; /* first, as in struct bh_map: what a map of pointers shows */
	uint32_t length;
	uint32_t sites;
	struct bh_site *site;
	struct bh_heap *global; /* behind bpf_obj_new */
	uint32_t numbers;	/* helpers by number, for callx */
	uint16_t *number;
	struct bh_arg *arg; /* BH_ARGS for each call */
	/* The program as machine code, NULL if it is interpreted: r0 comes back, or the run's `stop` says
	 * why it was left in the middle. */
	bh_code code;
	uint32_t exception; /* where the function begins that is called when it throws, 0 for none */
	struct bh_insn insn[];
};

enum bh_after {
	BH_RETURN,
	BH_LOOP,     /* bpf_loop */
	BH_EACH,     /* bpf_for_each_map_elem */
	BH_LESS,     /* bpf_rbtree_add */
};

/* What a function comes back to. */
struct bh_frame {
	uint64_t saved[4]; /* r6 to r9 */
	const struct bh_prog *prog;
	uint32_t slot; /* of the call */
	uint32_t goes; /* of may_goto */
	uint32_t base;
	enum bh_after after;
	uint32_t callback;
	uint64_t ctx;
	uint32_t round, limit;
	struct bh_map *map;
	struct bh_walk walk;
	struct bh_rb_root *root;
	struct bh_rb_node *node, *at;
};

enum bh_stop {
	BH_GOING,
	BH_DONE,
	BH_AT_CALL, /* before a call, which is made when it goes on */
	BH_AGAIN,   /* the call has to wait for another execution */
	BH_OUTSIDE, /* the call is made by somebody else, who sets r0 and calls bh_run_answer */
	BH_PAUSE,   /* `budget` is used up */
	BH_TOO_DEEP, /* more frames than there may be */
	BH_NO_CALL,  /* a helper by a number that there is not */
	BH_FAULT,    /* an access or a call that reaches for what the program may not have */
};

/* The packet of a program that has one, in memory that a 32-bit field of a context can point to. */
struct bh_packet {
	char *page;
	uint32_t start, data, end; /* offsets: metadata, packet, behind it */
	uint32_t lowest, highest;  /* where start and end may be moved to */
	int32_t fields[3];	   /* of the context: data, data_end, data_meta; -1 for none */
	bool wide;		   /* they have 8 bytes, not the 4 that stand for a pointer */
};

/* What of a run its program reaches, on a hardened core. */
struct bh_window {
	char packet[BH_PACKET];
	char below[BH_FRAMES][16]; /* keys of arrays' elements, which compiled code puts between frames */
	char stack[BH_FRAMES][BH_STACK];
	uint32_t key[BH_FRAMES]; /* the same, where the interpreter puts them */
	char ctx[];
};

/* Bytes that a step of the budget pays for, where calls copy: in C, and for Python, which looks at them. */
enum { BH_COPIED = 1 << 12, BH_PLAYED_BYTES = 1 << 6 };

enum { BH_WINDOW = 3 * BH_GRANULE }; /* a context has up to 64 KiB */

struct bh_run {
	uint64_t r[11];
	const struct bh_prog *prog;
	uint32_t slot;
	uint32_t depth;
	uint32_t goes;
	uint32_t base; /* the depth of its program's main function */
	uint32_t tail_calls;
	int64_t budget; /* jumps back, calls and rounds before it pauses */
	enum bh_stop stop;
	bool stepping;	/* stop before each call */
	bool at_call;	/* it did */
	bool in_signal; /* nobody outside can be asked */
	bool callback;	/* the call has entered one: r0 and slot are set */
	bool begun;
	uintptr_t machine_stack; /* of compiled programs, below this address; 0 for others */
	uintptr_t asked; /* while Python performs a call: the machine's stack above this is the program's */
	bool locked; /* it has a lock: see bh_core_break */
	/* Calls outside (gives r0); NULL: it stops with BH_OUTSIDE. */
	uint64_t (*ask)(struct bh_run *run);
	/* Adds to a budget that is used up; false or NULL: it stops with BH_PAUSE. */
	bool (*refill)(struct bh_run *run);
	void *driver; /* theirs */
	void *ctx;
	uint64_t ctx_size; /* bytes that are there */
	struct bh_here here;
	uint64_t *random; /* by slot */
	void *lock;	  /* of a value, which the run holds */
	uint64_t fault;	  /* the address that BH_FAULT is about */
	uint64_t pc;	  /* of machine code that faulted; 0: `slot` tells where that was */
	struct bh_window *window; /* NULL if the core is not hardened */
	char *region;		  /* the region's base, for compiled programs, */
	uint64_t sp, sp_end;	  /* and what of the stack there is free */
	char (*stack)[BH_STACK];
	struct bh_packet packet;
	struct bh_frame frame[BH_FRAMES];
	char own_stack[BH_FRAMES][BH_STACK] BH_ALIGNED(16);
};

/* NULL without memory. */
struct bh_run *bh_run_create(struct bh_core *core, uint64_t *random);
void bh_run_destroy(struct bh_core *core, struct bh_run *run);
/* Where its context is to be, `size` bytes at `own` if the core is not hardened; NULL if it is too long. */
void *bh_run_room(struct bh_run *run, void *own, uint64_t size);
/* Let somebody else perform the call that the run stands at: r0, or there is a reason in `stop`. */
uint64_t bh_run_ask(struct bh_run *run);
/* For compiled programs. Count `rounds` of loops that nobody knows the end of; false: go no further. */
bool bh_run_count(struct bh_run *run, uint64_t rounds);
#endif
