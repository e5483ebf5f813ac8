/*
 * What units and heaps are made of, and where their slabs come from: for the files of the heap.
 *
 * "With the lock" is with the heap's lock, which contexts that cannot map (bh_may_map) never take.
 */
#ifndef BPFHEAP_SLAB_PRIVATE_H
#define BPFHEAP_SLAB_PRIVATE_H

#include <pthread.h>

#include "batch.h"
#include "cpu.h"
#include "slab.h"

enum {
	PER_PAGE = 512,		/* slabs in a page of the table */
	PAGES = 4096,		/* of the table */
	BIAS = 1 << 30,		/* of a slab's live count, while its free objects are counted */
	REMOVED = -1,		/* instead of the live count of a slab that is being unmapped */
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
	struct bh_depot depot;
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
	struct bh_slab *condemned_in_grace; /* chained by next_condemned */
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
/* Memory for one slab more: NULL if there is none, or a limit is reached; and let it be carved. With the lock. */
struct bh_slab *bh_slab_map(struct bh_unit *unit);
void bh_slab_add(struct bh_unit *unit, struct bh_slab *slab);
/* Unmap a slab. For the worker, when no run can look into it any more. */
void bh_slab_remove(struct bh_unit *unit, struct bh_slab *slab);

/* The object with that number in a slab. */
static inline void *bh_slab_object(const struct bh_unit *unit, struct bh_slab *slab, uint32_t n)
{
	return (char *)slab + unit->first + (size_t)n * unit->size;
}

/* Which object of its slab has a byte at `inside`. */
static inline uint32_t bh_object_number(const struct bh_unit *unit, const void *inside)
{
	uint64_t offset = (uintptr_t)inside - (uintptr_t)bh_slab_of(inside) - unit->first;

	return (uint32_t)(offset * unit->reciprocal >> 32);
}

#endif
