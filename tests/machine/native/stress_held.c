/*
 * Threads run programs that free many objects which wait for a grace period, while runs are held: with
 * a count of owners, with a copy for each CPU, and such that hold others in a list. Heaps are closed
 * meanwhile. In the end all objects and all memory have to be back, and the worker has to come to an
 * end.
 *
 *     stress_held SECONDS THREADS HZ
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "calls.h"
#include "run.h"

enum { CPUS = 2, ROUNDS = 3000, LISTED = 3 };
enum { COUNTED, PER_CPU, HOLDER, TYPES };

/* An owner of others: a list, and the count of its own owners. */
struct holder {
	struct bh_list_head list;
	uint32_t lock, owners;
};

struct counted {
	struct bh_list_node node;
	uint64_t word;
	uint32_t owners, unused;
};

static struct bh_core *core;
static struct bh_heap *heap;
static struct bh_type *types[TYPES];
static _Atomic bool stop;
static _Atomic uint64_t operations, held_runs, refused;
static uint64_t seeds[CPUS * BH_LEVELS];

static struct bh_type *make_type(uint32_t size, uint32_t copies, int32_t refcount)
{
	struct bh_type *type = calloc(1, sizeof(*type) + 2 * sizeof(struct bh_field));

	*type = (struct bh_type){ .size = size, .copies = copies, .lock = -1, .refcount = refcount };
	return type;
}

static void make_types(void)
{
	types[COUNTED] = make_type(sizeof(struct counted), 1, offsetof(struct counted, owners));
	types[PER_CPU] = make_type(40, CPUS, -1);
	types[HOLDER] = make_type(sizeof(struct holder), 1, offsetof(struct holder, owners));
	types[HOLDER]->lock = offsetof(struct holder, lock);
	types[HOLDER]->field[types[HOLDER]->fields++] = (struct bh_field){
		.kind = BH_LIST_HEAD, .offset = 0, .size = 16, .node = offsetof(struct counted, node)
	};
}

static uint16_t named(const char *const *names, const char *name)
{
	for (uint16_t n = 0; names[n]; n++)
		if (!strcmp(names[n], name))
			return n;
	fprintf(stderr, "there is no %s\n", name);
	exit(1);
}

static struct bh_insn insn(const char *op, int dst, int src, int off, int64_t imm)
{
	return (struct bh_insn){ named(bh_op_names, op), (uint8_t)dst, (uint8_t)src, off, imm };
}

static struct bh_insn call(const char *name)
{
	return insn("call", 0, 0, 0, named(bh_call_names, name));
}

/* Allocate and free ROUNDS objects of a type. */
static struct bh_prog *make_churn(struct bh_unit *unit, uint32_t type, const char *new_,
				  const char *drop)
{
	const struct bh_insn code[] = {
		insn("mov64_imm", 6, 0, 0, ROUNDS),
		insn("mov64_imm", 1, 0, 0, type & ~(uint32_t)BH_PERCPU_TYPE),
		insn("mov64_imm", 2, 0, 0, 0),
		call(new_),
		insn("jeq64_imm", 0, 0, 3, 0),
		insn("mov64_reg", 1, 0, 0, 0),
		insn("mov64_imm", 2, 0, 0, 0),
		call(drop),
		insn("add64_imm", 6, 0, 0, -1),
		insn("jne64_imm", 6, 0, -9, 0),
		insn("mov64_imm", 0, 0, 0, 0),
		insn("exit", 0, 0, 0, 0),
	};
	struct bh_prog *prog = calloc(1, sizeof(*prog) + sizeof(code));

	memcpy(prog->insn, code, sizeof(code));
	prog->length = sizeof(code) / sizeof(code[0]);
	prog->global = bh_unit_heap(unit);
	prog->site = calloc(1, sizeof(*prog->site));
	prog->sites = 1;
	*prog->site = (struct bh_site){ bh_unit_heap(unit), type, unit };
	return prog;
}

static void destroy_churn(struct bh_prog *prog)
{
	free(prog->site);
	free(prog);
}

static void interpret(const struct bh_prog *prog)
{
	struct bh_run *run = bh_run_create(core, seeds);
	uint64_t ctx = 0;

	run->budget = INT64_MAX;
	bh_run_begin(run, prog, &ctx);
	bh_enter(core, -1, NULL, &run->here);
	if (bh_run_go(run) != BH_DONE)
		exit(3);
	bh_leave(&run->here);
	bh_run_destroy(core, run);
	atomic_fetch_add_explicit(&operations, ROUNDS, memory_order_relaxed);
}

/* Objects that take others along, one list after the other. */
static void churn_lists(struct bh_unit *const *units)
{
	struct bh_here here;

	bh_enter(core, -1, NULL, &here);
	for (int i = 0; i < ROUNDS / LISTED; i++) {
		struct holder *holder = bh_object_new(&here, units[HOLDER], 0);

		for (int n = 0; holder && n < LISTED; n++) {
			struct counted *one = bh_object_new(&here, units[COUNTED], 0);

			if (one && !bh_list_push(core, &holder->list, &one->node, n & 1))
				exit(4);
		}
		if (holder)
			bh_object_drop(&here, holder, 0);
		else
			atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
	}
	bh_leave(&here);
	atomic_fetch_add_explicit(&operations, ROUNDS, memory_order_relaxed);
}

static void make_units(struct bh_heap *of, struct bh_unit **units)
{
	units[COUNTED] = bh_unit_create(of, types[COUNTED]->size, types[COUNTED]);
	units[PER_CPU] = bh_unit_create(of, CPUS * bh_stride(types[PER_CPU]), types[PER_CPU]);
	units[HOLDER] = bh_unit_create(of, types[HOLDER]->size, types[HOLDER]);
}

/* One held run after the other, and now and then the end of a heap within it. */
static void *work(void *arg)
{
	struct bh_unit *shared[TYPES], *own[TYPES];
	struct bh_prog *counted, *per_cpu;

	make_units(heap, shared);
	counted = make_churn(shared[COUNTED], 1, "bpf_obj_new_impl", "bpf_obj_drop_impl");
	per_cpu = make_churn(shared[PER_CPU], 2 | BH_PERCPU_TYPE, "bpf_percpu_obj_new_impl",
			     "bpf_percpu_obj_drop_impl");
	for (unsigned n = (unsigned)(uintptr_t)arg; !atomic_load(&stop); n++) {
		struct bh_heap *brief = bh_heap_create(core, (struct bh_limits){ 0, 0 });

		make_units(brief, own);
		uint32_t hold = bh_hold(core);

		interpret(counted);
		if (n % 2)
			bh_barrier(core, NULL);
		interpret(per_cpu);
		churn_lists(shared);
		churn_lists(own);
		if (n % 3)
			bh_heap_close(brief);
		churn_lists(own);
		bh_unhold(core, hold);
		if (n % 5 == 0)
			bh_barrier(core, NULL);
		bh_heap_destroy(brief);
		atomic_fetch_add(&held_runs, 1);
	}
	destroy_churn(counted);
	destroy_churn(per_cpu);
	return NULL;
}

static int fail(const char *what, unsigned long long is, unsigned long long should)
{
	fprintf(stderr, "%s: %llu, not %llu\n", what, is, should);
	return 1;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 1;
	int threads = argc > 2 ? atoi(argv[2]) : 4;
	struct timespec length = { .tv_sec = (time_t)seconds,
				   .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };
	pthread_t thread[64];

	make_types();
	core = bh_core_create(CPUS);
	heap = bh_heap_create(core, (struct bh_limits){ 0, 0 });
	for (intptr_t i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, work, (void *)i);
	nanosleep(&length, NULL);
	atomic_store(&stop, true);
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	bh_barrier(core, NULL);
	if (bh_heap_stats(heap).live)
		return fail("objects that are left", bh_heap_stats(heap).live, 0);
	bh_heap_destroy(heap);
	bh_barrier(core, NULL);
	if (bh_pages_mapped(core))
		return fail("bytes mapped in the end", bh_pages_mapped(core), 0);
	bh_core_destroy(core);
	for (int i = 0; i < TYPES; i++)
		free(types[i]);
	printf("%llu operations, %llu held runs, %llu refused\n", (unsigned long long)operations,
	       (unsigned long long)held_runs, (unsigned long long)refused);
	return 0;
}
