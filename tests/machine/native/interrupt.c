/*
 * Every operation of the heap, interrupted at every instruction boundary by every other one.
 *
 *     interrupt [hardened]
 *
 * The trap flag lets the processor stop after each instruction. There the process forks: in the child
 * another context runs, one level further up, as if a signal had come just there, and the operation goes
 * on to its end; then each object has to be in exactly one place. The parent goes on to the next
 * instruction. Prints a line for each operation: how many places there are in it, and how many runs that
 * made.
 *
 * On a hardened core both contexts free one object, which only one of them may have freed then.
 *
 * With -DONE_CACHE all levels share a cache, with -DNO_GRACE what the other context frees does not wait for a
 * grace period: then it has to find something.
 */
#include "no_worker.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>

enum { TRAP_FLAG = 0x100, HELD = 1024, MANY = 70 };

static struct bh_core *core;
static struct bh_heap *heap;
static struct bh_unit *unit, *other;
static struct bh_here here; /* of the operation that is interrupted */
static void *held[HELD];    /* what contexts own */
static unsigned held_count;
static void *given, *nested_given[MANY]; /* what is to be freed */
static unsigned long steps;
static bool interrupted;
static void (*nested)(struct bh_here *at);

static struct bh_cache *cache_at(const struct bh_unit *of, const struct bh_here *at)
{
#ifdef ONE_CACHE
	return bh_cache_of(of, at->slot & ~(BH_LEVELS - 1u));
#else
	return bh_cache_of(of, at->slot);
#endif
}

static void keep(void *object)
{
	if (object)
		held[held_count++] = object;
}

static void on_trap(int number, siginfo_t *info, void *context)
{
	ucontext_t *found = context;
	struct bh_here at;

	int status;
	pid_t child;

	(void)number;
	(void)info;
	steps++;
	child = fork();
	if (child > 0) {
		if (waitpid(child, &status, 0) != child || status) {
			fprintf(stderr, "after %lu instructions\n", steps);
			exit(1);
		}
		return;
	}
	interrupted = true;
	if (bh_enter(core, -1, bh_at_once, &at)) {
		nested(&at);
		bh_leave(&at);
	}
	found->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

/* -- what interrupts */

static void nested_alloc(struct bh_here *at)
{
	keep(bh_alloc(cache_at(unit, at)));
}

static void nested_free(struct bh_here *at)
{
	bh_free(cache_at(unit, at), nested_given[0]);
	nested_given[0] = NULL;
}

static void nested_both(struct bh_here *at)
{
	void *object = bh_alloc(cache_at(unit, at));

	nested_free(at);
	keep(object);
}

static void nested_many(struct bh_here *at)
{
	for (unsigned i = 0; i < MANY; i++)
		keep(bh_alloc(cache_at(unit, at)));
	for (unsigned i = 0; i < MANY; i++) {
		bh_free(cache_at(unit, at), nested_given[i]);
		nested_given[i] = NULL;
	}
}

static void nested_rcu(struct bh_here *at)
{
	(void)at;
	bh_free_rcu(nested_given[0]);
	nested_given[0] = NULL;
}

/* -- what is interrupted: a state that leads to the path, and the operation */

static void *result;

static void do_alloc(void)
{
	result = bh_alloc(cache_at(unit, &here));
}

static void do_free(void)
{
	bh_free(cache_at(unit, &here), given);
}

static void do_free_at(void)
{
	bh_free_at(&here, given);
}

static void do_free_rcu(void)
{
	bh_free_rcu(given);
}

static void do_enter_leave(void)
{
	struct bh_here inner;

	if (bh_enter(core, -1, bh_at_once, &inner))
		bh_leave(&inner);
}

static void cached(uint32_t count)
{
	struct bh_cache *cache = cache_at(unit, &here);
	void *object;

	while (bh_cached(cache) > count) {
		void *one = *(cache->top - 1);

		bh_cache_set(cache, bh_cached(cache) - 1);
		bh_depot_put(&unit->depot, bh_batch_pack(&one, 1));
	}
	while (bh_cached(cache) < count && bh_carve_or_map(unit, &object, 1)) {
		cache->objects[bh_cached(cache)] = object;
		bh_cache_set(cache, bh_cached(cache) + 1);
	}
}

static void no_depot(void)
{
	struct free_object *batch;
	void *objects[BH_SLOTS];

	while ((batch = bh_depot_take(&unit->depot)))
		for (uint32_t i = bh_batch_unpack(batch, objects); i--;)
			keep(objects[i]);
}

static void full(void)
{
	cached(64);
}

static void low(void)
{
	cached(unit->low);
}

static void low_with_depot(void)
{
	void *objects[32];

	low();
	for (unsigned i = 0; i < 32; i++)
		bh_carve_or_map(unit, &objects[i], 1);
	bh_depot_put(&unit->depot, bh_batch_pack(objects, 20));
	bh_depot_put(&unit->depot, bh_batch_pack(objects + 20, 12));
}

static void low_with_spare(void)
{
	void *objects[8];

	low();
	no_depot();
	for (unsigned i = 0; i < 8; i++)
		bh_carve_or_map(unit, &objects[i], 1);
	cache_at(unit, &here)->spare = bh_batch_pack(objects, 8);
	bh_cache_count(&cache_at(unit, &here)->spare_count, 8);
}

static void low_with_inbox(void)
{
	low();
	no_depot();
	bh_unit_prefill(unit, 8);
}

static void low_without_depot(void)
{
	low();
	no_depot();
}

/* Nothing is left to carve, so a slab has to be mapped. */
static void nothing_at_all(void)
{
	void *object;

	low();
	no_depot();
	while (bh_carve(unit, &object, 1))
		bh_depot_put(&unit->depot, bh_batch_pack(&object, 1));
	held_count = 0;
	while ((object = bh_depot_take(&unit->depot)))
		bh_free_rcu(object);
}

static void high(void)
{
	cached(unit->high);
}

static void high_and_kept(void)
{
	high();
	atomic_store(&cache_at(unit, &here)->keep, 1000);
}

static void predicted(void)
{
	void *object = bh_alloc(cache_at(unit, &here));

	full();
	bh_free_at(&here, object);
}

static void mispredicted(void)
{
	void *object = bh_alloc(cache_at(other, &here));

	full();
	bh_free_at(&here, object);
}

static void waiting_already(void)
{
	void *object = bh_alloc(cache_at(unit, &here));

	bh_free_rcu(object);
}

static const struct bh_type type = { .size = 96, .copies = 1, .lock = -1, .refcount = -1 };

static void *as_programs_see(void *object)
{
	return (char *)object - bh_shadow(core);
}

static void lives(uint32_t slot)
{
	full();
	atomic_store(bh_region_life(bh_region_of(core), given), bh_unit_life(unit, slot));
}

static void lives_here(void)
{
	lives(here.slot);
}

static void lives_there(void)
{
	lives(here.slot + 1);
}

static void do_drop(void)
{
	bh_object_drop(&here, as_programs_see(given), -1);
}

static void do_drop_and_make(void)
{
	do_drop();
	given = bh_object_new(&here, unit, -1);
	bh_object_drop(&here, given, -1);
	given = (char *)given + bh_shadow(core);
}

static void nested_drop(struct bh_here *at)
{
#ifdef NO_GRACE
	if (atomic_exchange(bh_region_life(bh_region_of(core), given), BH_FREE) >= BH_LIVE)
		bh_free(cache_at(unit, at), given);
#else
	bh_object_drop(at, as_programs_see(given), -1);
#endif
}

static void nested_drop_and_collect(struct bh_here *at)
{
	nested_drop(at);
	run_all(core, take(&core->queued));
}

static void nested_drop_twice(struct bh_here *at)
{
	nested_drop_and_collect(at);
	nested_drop_and_collect(at);
}

struct operation {
	const char *name;
	void (*prepare)(void);
	void (*run)(void);
	bool frees;
};
static const struct operation operations[] = {
	{ "alloc", full, do_alloc, false },
	{ "alloc from spares", low_with_spare, do_alloc, false },
	{ "alloc from the inbox", low_with_inbox, do_alloc, false },
	{ "alloc from the depot", low_with_depot, do_alloc, false },
	{ "alloc that carves", low_without_depot, do_alloc, false },
	{ "alloc that maps", nothing_at_all, do_alloc, false },
	{ "free", full, do_free, true },
	{ "free to the depot", high, do_free, true },
	{ "free to spares", high_and_kept, do_free, true },
	{ "free by pointer", predicted, do_free_at, true },
	{ "free by pointer of another unit", mispredicted, do_free_at, true },
	{ "free_rcu", full, do_free_rcu, true },
	{ "free_rcu again", waiting_already, do_free_rcu, true },
	{ "enter and leave", full, do_enter_leave, false },
	{ NULL, NULL, NULL, false },
};
static const struct operation hardened_operations[] = {
	{ "drop", lives_here, do_drop, true },
	{ "drop of what another context made", lives_there, do_drop, true },
	{ "drop, and once more when it is made again", lives_here, do_drop_and_make, true },
	{ NULL, NULL, NULL, false },
};

typedef void (*interruption)(struct bh_here *at);
static const interruption interruptions[] = { nested_alloc, nested_free, nested_both,
					      nested_many,  nested_rcu,	 NULL };
static const interruption hardened_interruptions[] = { nested_drop, nested_drop_and_collect,
						       nested_drop_twice, NULL };

/* -- where everything is */

static uint8_t *places(const struct bh_slab *slab)
{
	static uint8_t seen[64][BH_SLAB / BH_OBJECT_MIN];

	return seen[slab->number];
}

static void see(void *object)
{
	struct bh_slab *slab = bh_slab_of(object);

	if (slab->unit == unit)
		places(slab)[bh_object_number(unit, object)]++;
}

static void see_batches(void *first)
{
	void *objects[BH_SLOTS];

	for (struct free_object *batch = first; batch; batch = bh_batch_next(batch))
		for (uint32_t i = bh_batch_unpack(batch, objects); i--;)
			see(objects[i]);
}

/* How many objects are in no place, or in two. */
static unsigned audit(void)
{
	unsigned wrong = 0;

	for (uint64_t n = 0; n < unit->numbers; n++)
		memset(places(*bh_slab_entry(unit, n)), 0, BH_SLAB / BH_OBJECT_MIN);
	for (uint32_t slot = 0; slot < bh_unit_slots(unit); slot++) {
		struct bh_cache *cache = &unit->caches[slot];

		for (uint32_t i = bh_cached(cache); i--;)
			see(cache->objects[i]);
		see_batches(cache->spare);
		see_batches(atomic_load(&cache->inbox));
	}
	see_batches(atomic_load(&unit->depot.batches));
	for (unsigned i = 0; i < held_count; i++)
		see(held[i]);
	for (unsigned i = 0; i < MANY; i++)
		if (nested_given[i])
			see(nested_given[i]);
	for (uint64_t n = 0; n < unit->numbers; n++) {
		struct bh_slab *slab = *bh_slab_entry(unit, n);

		for (uint32_t i = 0; i < bh_slab_carved(unit, slab); i++)
			wrong += places(slab)[i] != 1;
	}
	return wrong;
}

/* The end of a run: of the parent's, which nothing interrupted, or of a child's. */
static unsigned long check(const struct operation *operation)
{
	uint64_t live;
	unsigned wrong;

	keep(result);
	bh_leave(&here);
	bh_barrier(core, NULL);
	wrong = audit();
	live = held_count;
	for (unsigned i = 0; i < MANY; i++)
		live += nested_given[i] != NULL;
	if (wrong || bh_unit_stats(unit).live != live) {
		fprintf(stderr, "%s: %u objects in no place or two, %llu live, not %llu\n",
			operation->name, wrong,
			(unsigned long long)bh_unit_stats(unit).live, (unsigned long long)live);
		_exit(1);
	}
	if (interrupted)
		_exit(0);
	return steps;
}

/* In how many places the operation was interrupted. */
static unsigned long sweep(const struct operation *operation, interruption by)
{
	unsigned long count;

	heap = bh_heap_create(core, (struct bh_limits){ 0, 0 });
	unit = bh_unit_create(heap, 96, (void *)&type);
	other = bh_unit_create(heap, 96, NULL);
	held_count = 0;
	result = NULL;
	nested = by;
	bh_enter(core, 0, NULL, &here);
	for (unsigned i = 0; i < MANY; i++)
		bh_carve_or_map(unit, &nested_given[i], 1);
	given = NULL;
	if (operation->frees)
		bh_carve_or_map(unit, &given, 1);
	operation->prepare();
	steps = 0;
	__asm__ volatile("pushfq; orq %0, (%%rsp); popfq" : : "i"(TRAP_FLAG) : "memory", "cc");
	operation->run();
	__asm__ volatile("pushfq; andq %0, (%%rsp); popfq" : : "i"(~TRAP_FLAG) : "memory", "cc");
	count = check(operation);
	bh_heap_destroy(heap);
	/* What an interruption collects is not to be of this heap. */
	bh_barrier(core, NULL);
	return count;
}

int main(int count, char **words)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_NODEFER };
	bool hardened = count > 1 && !strcmp(words[1], "hardened");
	const struct operation *operation = hardened ? hardened_operations : operations;

	core = bh_core_create(1);
	if (hardened && !bh_core_harden(core))
		return 2;
	sigaction(SIGTRAP, &action, NULL);
	for (; operation->name; operation++) {
		const interruption *by = hardened ? hardened_interruptions : interruptions;
		unsigned long runs = 0, places_ = 0;

		for (; *by; by++) {
			places_ = sweep(operation, *by);
			runs += places_;
		}
		printf("%lu %lu %s\n", places_, runs, operation->name);
		fflush(stdout);
	}
	return 0;
}
