/*
 * bpf_mem_alloc in user space: objects of one type in slabs of their own, free ones in caches by
 * CPU and level of context. No object has a header: its address leads to its slab, and so to its
 * unit, type and heap.
 *
 * After kernel/bpf/memalloc.c of Linux 6.18, which keeps free objects in lists, guards them by
 * a counter of nesting contexts, and refills by irq_work. Here each level of nesting has a cache of
 * its own, so the fast path needs no guard; and a cache is an array, of which the top is compared with
 * the watermarks, and is the count that statistics need.
 */
#ifndef BPFHEAP_HEAP_H
#define BPFHEAP_HEAP_H

#include "cpu.h"

enum {
	BH_SLAB = 1 << 16, /* bytes, and the alignment of a slab */
	BH_SLOTS = 117,    /* objects in a cache's array; a cache is 1 KiB then */
	BH_OBJECT_MAX = 1 << 30,
	BH_OBJECT_MIN = 16, /* a free object holds two words */
	BH_UNIT_LIFE = 8,   /* where a unit has what lives under slot 0: see enum bh_life */
};

struct bh_heap;
struct bh_unit;

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
	/* Not at the beginning of a page, where slabs and units have what a free reads: a CPU takes a store
	 * and a load at equal places of two pages for the same at first. */
	_Atomic(void **) top BH_ALIGNED(BH_LINE); /* of the array: how many there are, too */
	_Atomic(void **) low;			  /* there, an allocation takes the slow path */
	_Atomic(void **) high;			  /* there, a free does */
	void *objects[BH_SLOTS];
} BH_ALIGNED(BH_LINE);

/* What is at the beginning of a slab, of which the size is a multiple of BH_SLAB. */
struct bh_slab {
	struct bh_unit *_Atomic unit;
	uint64_t number;	  /* in the unit's table */
	_Atomic uint32_t carved;  /* objects that were given out at least once; may count more */
	_Atomic int32_t live;	  /* once the heap is closed */
	_Atomic(struct bh_slab *) next_waiting;
	_Atomic uint64_t waiting[]; /* bits of objects that wait for a grace period */
};

/* All units of one owner: an allocator map, or the allocator behind bpf_obj_new. */
struct bh_limits {
	uint64_t objects; /* live at a time; 0 for any number */
	uint64_t bytes;	  /* of slabs; 0 for any number */
};
struct bh_heap *bh_heap_create(struct bh_core *core, struct bh_limits limits);
/* No allocations from here on. The worker drains caches and returns empty slabs, after grace periods:
 * nobody waits here, bh_barrier does. Objects that live stay, and may be freed. */
void bh_heap_close(struct bh_heap *heap);
/* Let the worker return everything, whatever lives. Nobody may free its objects any more. */
void bh_heap_destroy(struct bh_heap *heap);

/*
 * Objects of `size` bytes (at most BH_OBJECT_MAX); `type` is the caller's. NULL without memory.
 * The unit is the heap's, and goes with it.
 */
struct bh_unit *bh_unit_create(struct bh_heap *heap, uint32_t size, void *type);
/* The next `n` allocations succeed in each context of each CPU, and again after these are freed
 * there. Not within a signal. False, with nothing kept, if memory does not suffice. */
bool bh_unit_prefill(struct bh_unit *unit, uint32_t n);
/* As many objects more, for whoever comes first: while no more than `n` live at a time, no allocation
 * finds the unit empty. False without memory. */
bool bh_unit_reserve(struct bh_unit *unit, uint32_t n);
/* Every object that was ever given out, live or free. Nothing may be allocated meanwhile. */
void bh_unit_each(struct bh_unit *unit, void (*see)(void *object, void *arg), void *arg);
/* The object of which a byte is at `inside`, in a slab of the unit. */
void *bh_unit_object(const struct bh_unit *unit, void *inside);
void *bh_unit_type(const struct bh_unit *unit);
uint32_t bh_unit_size(const struct bh_unit *unit);
struct bh_heap *bh_unit_heap(const struct bh_unit *unit);

struct bh_stats {
	uint64_t live;	 /* exact while no context allocates or frees */
	uint64_t peak;	 /* as seen when slabs were carved and stats taken */
	uint64_t cached; /* free, in caches, lists and waiting for a grace period */
	uint64_t slabs;
	uint64_t bytes; /* of slabs */
	uint64_t failures;
};
struct bh_stats bh_unit_stats(struct bh_unit *unit);
struct bh_stats bh_heap_stats(struct bh_heap *heap);

/* For bh_alloc and bh_free only, at a watermark of the cache. */
void *bh_alloc_slow(struct bh_cache *cache);
void bh_free_slow(struct bh_cache *cache, void *object);

static inline struct bh_cache *bh_cache_of(const struct bh_unit *unit, uint32_t slot)
{
	/* The first member of struct bh_unit, which is defined in heap_private.h. */
	return *(struct bh_cache *const *)unit + slot;
}

/* What objects live under that a slot's context allocates from a unit of a hardened core: enum bh_life. */
static inline uint32_t bh_unit_life(const struct bh_unit *unit, uint32_t slot)
{
	return *(const uint32_t *)((const char *)unit + BH_UNIT_LIFE) + slot;
}

static inline struct bh_slab *bh_slab_of(const void *object)
{
	return (struct bh_slab *)((uintptr_t)object & ~(uintptr_t)(BH_SLAB - 1));
}

/* NULL where a slab was once: programs of a hardened core may name an object that is long gone. */
static inline struct bh_unit *bh_unit_of(const void *object)
{
	return atomic_load_explicit(&bh_slab_of(object)->unit, memory_order_relaxed);
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

/* Free once all runs that are now going on have ended; from any context. */
void bh_free_rcu(void *object);

#endif
