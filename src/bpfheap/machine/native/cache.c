#include "cache.h"
#include "grace.h"
#include "slab_private.h"

#include <string.h>

/* -- counts */

/* Objects that are free, or wait for a grace period. */
static uint64_t free_in_caches(const struct bh_unit *unit)
{
	uint64_t count = atomic_load(&unit->depot.count) + atomic_load(&unit->waiting_count);

	for (uint32_t slot = 0; slot < bh_unit_slots(unit); slot++) {
		struct bh_cache *cache = &unit->caches[slot];

		count += bh_cached(cache) +
			 atomic_load_explicit(&cache->spare_count, memory_order_relaxed) +
			 atomic_load_explicit(&cache->inbox_count, memory_order_relaxed);
	}
	return count;
}

struct bh_stats bh_unit_stats_locked(struct bh_unit *unit)
{
	struct bh_stats stats = {
		.slabs = atomic_load(&unit->slabs),
		.bytes = atomic_load(&unit->slabs) * unit->slab_bytes,
		.failures = atomic_load(&unit->failures),
		};
	uint64_t owned = atomic_load(&unit->owned);

	stats.cached = free_in_caches(unit);
	stats.waiting = atomic_load(&unit->waiting_count);
	/* While others allocate and free, the counts are of different moments. */
	stats.live = owned > stats.cached ? owned - stats.cached : 0;
	stats.peak = atomic_load(&unit->peak);
	while (stats.peak < stats.live)
		if (atomic_compare_exchange_weak(&unit->peak, &stats.peak, stats.live))
			stats.peak = stats.live;
	return stats;
}

/* -- out of slabs */

uint32_t bh_carve_locked(struct bh_unit *unit, void **out, uint32_t want)
{
	uint32_t got = bh_carve(unit, out, want);
	struct bh_slab *slab = got ? NULL : bh_slab_map(unit);

	if (slab) {
		/* Sample the peak: caches are empty when a slab is added. */
		bh_unit_stats_locked(unit);
		bh_slab_add(unit, slab);
		got = bh_carve(unit, out, want);
	}
	return got;
}

uint32_t bh_carve_or_map(struct bh_unit *unit, void **out, uint32_t want)
{
	uint32_t got = bh_carve(unit, out, want);

	if (!got) {
		bh_heap_lock(unit->heap);
		got = bh_carve_locked(unit, out, want);
		bh_heap_unlock(unit->heap);
	}
	return got;
}

/* With the lock, so that statistics do not count an object that is moved twice, or not at all. */
void bh_unit_replenish(struct bh_work *work)
{
	struct bh_unit *unit = (void *)((char *)work - offsetof(struct bh_unit, replenish_work));
	void *objects[BH_SLOTS];

	bh_heap_lock(unit->heap);
	while (!bh_unit_closed(unit) && atomic_load(&unit->depot.count) < 2 * unit->batch) {
		uint32_t got = bh_carve_locked(unit, objects, unit->batch);

		if (!got)
			break;
		bh_depot_put(&unit->depot, bh_batch_pack(objects, got));
	}
	bh_heap_unlock(unit->heap);
}

void bh_unit_ask_replenish(struct bh_unit *unit)
{
	bh_queue(unit->heap->core, &unit->replenish_work);
}

/* -- slow paths */

/* Move what prefill put there to the spare batches. */
static void take_inbox(struct bh_cache *cache)
{
	struct free_object *first, *last;
	uint32_t total = 0;

	if (!atomic_load_explicit(&cache->inbox, memory_order_relaxed))
		return;
	first = atomic_exchange_explicit(&cache->inbox, NULL, memory_order_acquire);
	for (last = first;; last = bh_batch_next(last)) {
		total += bh_batch_length(last);
		if (!bh_batch_next(last))
			break;
	}
	bh_batch_link(last, cache->spare, bh_batch_length(last));
	cache->spare = first;
	bh_cache_count(&cache->spare_count, (int32_t)total);
	atomic_fetch_sub_explicit(&cache->inbox_count, total, memory_order_relaxed);
}

/* Up to a batch of free objects for an empty cache, from the nearest place; how many. */
static uint32_t take_more(struct bh_cache *cache, void **out)
{
	struct bh_unit *unit = cache->unit;
	struct free_object *batch;

	take_inbox(cache);
	batch = cache->spare;
	if (batch) {
		cache->spare = bh_batch_next(batch);
		bh_cache_count(&cache->spare_count, -(int32_t)bh_batch_length(batch));
		return bh_batch_unpack(batch, out);
	}
	batch = bh_depot_take(&unit->depot);
	if (batch)
		return bh_batch_unpack(batch, out);
	return bh_may_map(cache->slot) ? bh_carve_or_map(unit, out, unit->batch) :
					 bh_carve(unit, out, unit->batch);
}

void *bh_alloc_slow(struct bh_cache *cache)
{
	struct bh_unit *unit = cache->unit;
	uint32_t count = bh_cached(cache);

	if (bh_unit_closed(unit)) {
		atomic_fetch_add_explicit(&unit->failures, 1, memory_order_relaxed);
		return NULL;
	}
	count += take_more(cache, cache->objects + count);
	/* Where nothing can be mapped, let the worker do it before it is too late. */
	if (count <= unit->low && !bh_may_map(cache->slot))
		bh_unit_ask_replenish(unit);
	if (!count) {
		atomic_fetch_add_explicit(&unit->failures, 1, memory_order_relaxed);
		return NULL;
	}
	bh_cache_set(cache, --count);
	return cache->objects[count];
}

void bh_free_slow(struct bh_cache *cache, void *object)
{
	struct bh_unit *unit = cache->unit;
	uint32_t count = bh_cached(cache);
	struct free_object *batch;
	uint32_t kept;

	if (bh_unit_closed(unit)) {
		bh_free_closed(unit, object);
		return;
	}
	/* Spill those that were freed longest ago. */
	batch = bh_batch_pack(cache->objects, unit->batch);
	count -= unit->batch;
	memmove(cache->objects, cache->objects + unit->batch, count * sizeof(void *));
	kept = count + atomic_load_explicit(&cache->spare_count, memory_order_relaxed);
	if (kept + unit->batch <= atomic_load_explicit(&cache->keep, memory_order_relaxed)) {
		bh_batch_link(batch, cache->spare, unit->batch);
		cache->spare = batch;
		bh_cache_count(&cache->spare_count, (int32_t)unit->batch);
	} else {
		bh_depot_put(&unit->depot, batch);
	}
	cache->objects[count] = object;
	bh_cache_set(cache, count + 1);
}
