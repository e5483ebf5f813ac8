#include "batch.h"
#include "heap.h"
#include "memory.h"
#include "slab_private.h"

#include <stdlib.h>

/* Give the objects of a chain of batches back to their slabs. */
static void free_batches(struct bh_unit *unit, struct free_object *batches)
{
	while (batches) {
		void *objects[BH_SLOTS];
		struct free_object *rest = bh_batch_next(batches);
		uint32_t count = bh_batch_unpack(batches, objects);

		for (uint32_t i = 0; i < count; i++)
			bh_free_closed(unit, objects[i]);
		batches = rest;
	}
}

/* Give what caches and depot hold back to the slabs. With the lock, when no context uses the caches. */
static void drain_unit(struct bh_unit *unit)
{
	for (uint32_t slot = 0; slot < bh_unit_slots(unit); slot++) {
		struct bh_cache *cache = &unit->caches[slot];
		uint32_t count = bh_cached(cache);

		for (uint32_t i = 0; i < count; i++)
			bh_free_closed(unit, cache->objects[i]);
		free_batches(unit, atomic_exchange(&cache->inbox, NULL));
		free_batches(unit, cache->spare);
		cache->spare = NULL;
		bh_cache_set(cache, 0);
		atomic_store(&cache->spare_count, 0);
		atomic_store(&cache->inbox_count, 0);
	}
	free_batches(unit, atomic_exchange(&unit->depot.batches, NULL));
	atomic_store(&unit->depot.count, 0);
	/* A slab's count began at BIAS and has lost one for each free object: correct it to those that live. */
	for (uint64_t n = 0; n < unit->numbers; n++) {
		struct bh_slab *slab = *bh_slab_entry(unit, n);
		int32_t correction = (int32_t)bh_slab_carved(unit, slab) - BIAS;

		if (atomic_fetch_add(&slab->live, correction) + correction == 0)
			bh_slab_remove_if_empty(unit, slab);
	}
}

/*
 * After all runs that saw the heap open: later ones do not touch its caches. With the lock, under which
 * return_freed asks whether the heap is closed, and statistics are taken.
 */
static void drain_heap(struct bh_work *work)
{
	struct bh_heap *heap = (void *)((char *)work - offsetof(struct bh_heap, drain_work));

	bh_synchronize_rcu(heap->core, NULL);
	bh_heap_lock(heap);
	for (struct bh_unit *unit = heap->units; unit; unit = unit->next)
		drain_unit(unit);
	if (heap->chunk != heap->chunk_end)
		bh_memory_unmap(heap->core, heap->chunk,
				(size_t)(heap->chunk_end - heap->chunk));
	heap->chunk = heap->chunk_end = NULL;
	bh_heap_unlock(heap);
}

/* Has the worker something to do for the heap? */
static bool is_awaited(struct bh_heap *heap)
{
	if (atomic_load(&heap->drain_work.queued))
		return true;
	for (struct bh_unit *unit = heap->units; unit; unit = unit->next)
		if (atomic_load(&unit->collect_work.queued) || atomic_load(&unit->reclaim_work.queued) ||
		    atomic_load(&unit->replenish_work.queued))
			return true;
	return false;
}

static void free_heap(struct bh_work *work)
{
	struct bh_heap *heap = (void *)((char *)work - offsetof(struct bh_heap, end_work));

	while (heap->units) {
		struct bh_unit *unit = heap->units;

		heap->units = unit->next;
		bh_unit_destroy(unit);
	}
	pthread_mutex_destroy(&heap->lock);
	free(heap);
}

static void end_heap(struct bh_work *work)
{
	struct bh_heap *heap = (void *)((char *)work - offsetof(struct bh_heap, end_work));

	/* Wait once more for work that is queued behind this. */
	if (!is_awaited(heap)) {
		for (struct bh_unit *unit = heap->units; unit; unit = unit->next)
			bh_unit_unmap(unit);
		work->run = free_heap;
	}
	bh_call_rcu(heap->core, work);
}

struct bh_heap *bh_heap_create(struct bh_core *core, struct bh_limits limits)
{
	struct bh_heap *heap = calloc(1, sizeof(*heap));

	if (!heap)
		return NULL;
	heap->core = core;
	heap->limits = limits;
	heap->drain_work.run = drain_heap;
	heap->end_work.run = end_heap;
	pthread_mutex_init(&heap->lock, NULL);
	return heap;
}

void bh_heap_close(struct bh_heap *heap)
{
	/* Somebody who is not there may have the lock. */
	if (bh_core_over(heap->core) == BH_FORKED || atomic_exchange(&heap->closed, true))
		return;
	bh_heap_lock(heap);
	for (struct bh_unit *unit = heap->units; unit; unit = unit->next)
		bh_unit_shut(unit);
	bh_heap_unlock(heap);
	bh_queue(heap->core, &heap->drain_work);
}

void bh_heap_destroy(struct bh_heap *heap)
{
	if (bh_core_over(heap->core) == BH_FORKED)
		return;
	bh_heap_close(heap);
	bh_call_rcu(heap->core, &heap->end_work);
}

struct bh_stats bh_heap_stats(struct bh_heap *heap)
{
	struct bh_stats total = { 0 };

	bh_heap_lock(heap);
	for (struct bh_unit *unit = heap->units; unit; unit = unit->next) {
		struct bh_stats one = bh_unit_stats_locked(unit);

		total.live += one.live;
		total.peak += one.peak;
		total.cached += one.cached;
		total.waiting += one.waiting;
		total.slabs += one.slabs;
		total.bytes += one.bytes;
		total.failures += one.failures;
	}
	bh_heap_unlock(heap);
	return total;
}
