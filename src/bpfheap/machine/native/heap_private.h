/*
 * What the files of the heap share: batches of free objects (batch.c), slabs (slab.c), the slow paths of
 * caches (cache.c), grace periods (grace.c), units (unit.c) and heaps (heap.c).
 *
 * "With the lock" is with the heap's lock, which contexts that cannot map (bh_may_map) never take.
 */
#ifndef BPFHEAP_HEAP_PRIVATE_H
#define BPFHEAP_HEAP_PRIVATE_H

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"

enum {
	PER_PAGE = 512,		/* slabs in a page of the table */
	PAGES = 4096,		/* of the table */
	BIAS = 1 << 30,		/* of a slab's live count, while its free objects are counted */
	REMOVED = -1,		/* instead of the live count of a slab that is being unmapped */
};

/*
 * A batch is some free objects, numbered from 0. The words of object n > 0 lead to those numbered 2n
 * and 2n + 1, so that whoever collects them need not wait for one cache miss after the other. Those of
 * number 0 lead to number 1, and to the next batch, with how many there are in the upper 16 bits.
 */
struct free_object {
	struct free_object *child;
	uint64_t rest;
};

struct bh_unit {
	struct bh_cache *caches; /* by slot; first: see bh_cache_of */
	uint32_t life;		 /* at BH_UNIT_LIFE */
	struct bh_heap *heap;
	struct bh_unit *next;
	void *type;
	uint32_t size;
	uint32_t per_slab;   /* objects */
	uint32_t first;	     /* offset of the first object of a slab */
	uint32_t words;	     /* of a bitmap of objects */
	uint32_t reciprocal; /* 2**32 / size, rounded up */
	uint32_t batch;	     /* objects that go to and from the depot at a time */
	uint32_t low, high;  /* a cache's watermarks: bh_cache.low and .high */
	size_t slab_bytes;
	_Atomic(struct bh_slab *) carving; /* the slab that new objects come from */
	_Atomic(void *) depot; /* batches: see bh_depot_put */
	_Atomic uint64_t depot_count; /* objects there */
	_Atomic uint64_t owned; /* objects that were carved out of slabs */
	_Atomic uint64_t slabs;
	_Atomic uint64_t numbers; /* of slabs, so far */
	_Atomic uint64_t peak;
	_Atomic uint64_t failures;
	_Atomic(struct bh_slab *) waiting; /* with objects that wait for a grace period */
	_Atomic uint64_t waiting_count; /* objects there */
	_Atomic(struct bh_slab *) condemned; /* empty ones of a closed heap */
	struct bh_work collect_work, reclaim_work, replenish_work;
	/* The worker's, while reclaim_work is queued: what was waiting and condemned when it collected. */
	struct bh_slab *in_grace;	 /* chained behind their bitmaps */
	struct bh_slab *condemned_in_grace; /* chained by next_waiting */
	_Atomic(struct bh_slab *) *table[PAGES];
};

struct bh_heap {
	struct bh_core *core;
	struct bh_limits limits;
	_Atomic bool closed;
	_Atomic uint64_t bytes;
	struct bh_work drain_work, end_work;
	pthread_mutex_t lock; /* of units, chunks and tables: see bh_heap_lock */
	struct bh_unit *units;
	char *chunk, *chunk_end; /* what is left of the last mapping, for slabs */
};

/* The heap's lock. Not where contexts cannot map: the thread that they interrupt may have it. */
void bh_heap_lock(struct bh_heap *heap);
void bh_heap_unlock(struct bh_heap *heap);
/* May the context of that slot map memory? Not above level 0; nor in a signal that found its thread outside of
 * a run, but with a heap's lock. */
bool bh_may_map(uint32_t slot);

/* Contexts that have a cache: levels of all CPUs. */
static inline uint32_t bh_unit_slots(const struct bh_unit *unit)
{
	return bh_core_cpus(unit->heap->core) * BH_LEVELS;
}

static inline bool bh_unit_closed(const struct bh_unit *unit)
{
	return atomic_load_explicit(&unit->heap->closed, memory_order_acquire);
}

/* -- batches: batch.c; from any context */

static inline struct free_object *bh_batch_next(const struct free_object *batch)
{
	return (struct free_object *)(batch->rest & (((uint64_t)1 << 48) - 1));
}

/* How many objects it has. */
static inline uint32_t bh_batch_length(const struct free_object *batch)
{
	return (uint32_t)(batch->rest >> 48);
}

static inline void bh_batch_link(struct free_object *batch, struct free_object *next, uint32_t count)
{
	batch->rest = (uint64_t)(uintptr_t)next | (uint64_t)count << 48;
}

/* Make a batch of 1 to BH_SLOTS free objects. */
struct free_object *bh_batch_pack(void *const *objects, uint32_t count);
/* The objects of a batch; how many. `objects` has room for one more than there are. */
uint32_t bh_batch_unpack(struct free_object *batch, void **objects);
/* Put a chain of batches into a list that others may use at the same time. */
void bh_batches_push(_Atomic(void *) *list, struct free_object *first, struct free_object *last);
/* The unit's depot: batches for whoever comes first. NULL if it is empty. */
void bh_depot_put(struct bh_unit *unit, struct free_object *batch);
struct free_object *bh_depot_take(struct bh_unit *unit);

/* -- slabs: slab.c */

/* Where the unit's table has a slab; NULL there once it was removed. */
static inline struct bh_slab *_Atomic *bh_slab_entry(struct bh_unit *unit, uint64_t number)
{
	return &unit->table[number / PER_PAGE][number % PER_PAGE];
}

/* How many objects of a slab were given out at least once. */
static inline uint32_t bh_slab_carved(const struct bh_unit *unit, const struct bh_slab *slab)
{
	uint32_t count = atomic_load_explicit(&slab->carved, memory_order_relaxed);

	return count < unit->per_slab ? count : unit->per_slab;
}

/* New objects out of the slab that is there; how many, 0 if there is none or the limit is reached. From any
 * context. */
uint32_t bh_carve(struct bh_unit *unit, void **out, uint32_t want);
/* The same, with a new slab if there is none; where bh_may_map. */
uint32_t bh_carve_or_map(struct bh_unit *unit, void **out, uint32_t want);
/* The same, with the lock. */
uint32_t bh_carve_locked(struct bh_unit *unit, void **out, uint32_t want);
/* Unmap a slab. For the worker, when no run can look into it any more. */
void bh_slab_remove(struct bh_unit *unit, struct bh_slab *slab);
/* Let the worker fill the depot, for contexts that cannot map; and what it then does. */
void bh_unit_ask_replenish(struct bh_unit *unit);
void bh_unit_replenish(struct bh_work *work);

/* -- caches: only the context that has one changes it */

static inline void bh_cache_set(struct bh_cache *cache, uint32_t count)
{
	atomic_store_explicit(&cache->top, cache->objects + count, memory_order_relaxed);
}

static inline void bh_cache_count(_Atomic uint32_t *count, int32_t change)
{
	/* Only this context writes it. */
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + change,
			      memory_order_relaxed);
}

/* -- grace periods: grace.c */

/* Which object of its slab has a byte at `inside`. */
static inline uint32_t bh_object_number(const struct bh_unit *unit, const void *inside)
{
	uint64_t offset = (uintptr_t)inside - (uintptr_t)bh_slab_of(inside) - unit->first;

	return (uint32_t)(offset * unit->reciprocal >> 32);
}

/* What the worker does before and after a grace period with objects of bh_free_rcu and empty slabs. */
void bh_unit_collect(struct bh_work *work);
void bh_unit_reclaim(struct bh_work *work);
/* Free an object of a closed heap, of which the caches are drained or are about to be. */
void bh_free_closed(struct bh_unit *unit, void *object);
/* Let a slab of a closed heap go, once a grace period has passed, if nothing in it lives. */
void bh_slab_remove_if_empty(struct bh_unit *unit, struct bh_slab *slab);

/* -- units: unit.c */

/* Counts, and the peak with them; with the lock. */
struct bh_stats bh_unit_stats_locked(struct bh_unit *unit);
/* Let all that allocates or frees take the slow path, where it finds the heap closed; with the lock. */
void bh_unit_shut(struct bh_unit *unit);
/* Unmap its slabs. Nobody may use its objects any more. */
void bh_unit_unmap(struct bh_unit *unit);
/* And the rest, a grace period later: a program of a hardened core may have named what was in them. */
void bh_unit_destroy(struct bh_unit *unit);

#endif
