/*
 * Caches of free objects, by CPU and level of context: allocations and frees, and how empty ones are filled.
 */
#ifndef BPFHEAP_CACHE_H
#define BPFHEAP_CACHE_H

#include "batch.h"
#include "cpu.h"
#include "slab.h"

/*
 * The free objects of one unit for one CPU and one level; only that context touches it, but others
 * may read the counts and put batches into the inbox.
 */
struct bh_cache {
	struct bh_unit *unit;
	void *spare; /* batches of this cache's own, beyond the array */
	_Atomic uint32_t spare_count;
	_Atomic uint32_t keep; /* objects that array and spare may hold together */
	uint32_t slot;
	_Atomic uint32_t inbox_count;
	_Atomic(void *) inbox; /* batches that prefill put here */
	_Atomic uint32_t life; /* of a hardened core: what new objects live under */
	/* Not at the beginning of a page, where slabs and units have what a free reads: a CPU takes a store
	 * and a load at equal places of two pages for the same at first. */
	_Atomic(void **) top BH_ALIGNED(BH_LINE); /* of the array: how many there are, too */
	_Atomic(void **) low;			  /* there, an allocation takes the slow path */
	_Atomic(void **) high;			  /* there, a free does */
	void *objects[BH_SLOTS];
} BH_ALIGNED(BH_LINE);

struct bh_stats {
	uint64_t live;	 /* exact while no context allocates or frees */
	uint64_t peak;	 /* as seen when slabs were carved and stats taken */
	uint64_t cached; /* free, in caches, lists and waiting for a grace period */
	uint64_t waiting; /* of these, for a grace period; one that was freed twice is counted in both */
	uint64_t slabs;
	uint64_t bytes; /* of slabs */
	uint64_t failures;
};

/* For bh_alloc and bh_free only, at a watermark of the cache. */
void *bh_alloc_slow(struct bh_cache *cache);
void bh_free_slow(struct bh_cache *cache, void *object);

static inline struct bh_cache *bh_cache_of(const struct bh_unit *unit, uint32_t slot)
{
	/* The first member of struct bh_unit, which is defined in slab_private.h. */
	return *(struct bh_cache *const *)unit + slot;
}

static inline uint32_t bh_cached(const struct bh_cache *cache)
{
	return (uint32_t)(atomic_load_explicit(&cache->top, memory_order_relaxed) - cache->objects);
}

/* NULL if there is no memory, or the heap is closed or at its limit. */
static inline void *bh_alloc(struct bh_cache *cache)
{
	/* Relaxed, for those who read the count: the instructions are those of plain accesses. */
	void **top = atomic_load_explicit(&cache->top, memory_order_relaxed);

	if (BH_UNLIKELY(top <= atomic_load_explicit(&cache->low, memory_order_relaxed)))
		return bh_alloc_slow(cache);
	atomic_store_explicit(&cache->top, top - 1, memory_order_relaxed);
	return top[-1];
}

static inline void bh_free(struct bh_cache *cache, void *object)
{
	void **top = atomic_load_explicit(&cache->top, memory_order_relaxed);

	if (BH_UNLIKELY(top >= atomic_load_explicit(&cache->high, memory_order_relaxed))) {
		bh_free_slow(cache, object);
		return;
	}
	*top = object;
	atomic_store_explicit(&cache->top, top + 1, memory_order_relaxed);
}

/*
 * Free by the pointer alone. Which cache it goes to hangs on what the pointer leads to, and three
 * loads in a row would be the longest part of it; so the last one is tried first, and the loads only
 * have to show that it was right.
 */
static inline void bh_free_at(struct bh_here *here, void *object)
{
	struct bh_unit *unit = bh_unit_of(object);

	if (BH_UNLIKELY(here->recent_unit != unit)) {
		here->recent_unit = unit;
		here->recent = bh_cache_of(unit, here->slot);
	}
	bh_free(here->recent, object);
}

/* -- for the files of the heap: see slab_private.h */

/* Only the context that has a cache changes it. */
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

/* As bh_carve, with a new slab if there is none to carve out of; where bh_may_map. */
uint32_t bh_carve_or_map(struct bh_unit *unit, void **out, uint32_t want);
/* The same, with the lock. */
uint32_t bh_carve_locked(struct bh_unit *unit, void **out, uint32_t want);
/* Let the worker fill the depot, for contexts that cannot map; and what it then does. */
void bh_unit_ask_replenish(struct bh_unit *unit);
void bh_unit_replenish(struct bh_work *work);
/* Counts, and the peak with them; with the lock. */
struct bh_stats bh_unit_stats_locked(struct bh_unit *unit);

#endif
