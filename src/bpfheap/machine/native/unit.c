#include "grace.h"
#include "slab_private.h"
#include "unit.h"

static size_t caches_bytes(const struct bh_heap *heap)
{
	return (size_t)bh_core_cpus(heap->core) * BH_LEVELS * sizeof(struct bh_cache);
}

/* -- the life of a unit */

void bh_unit_shut(struct bh_unit *unit)
{
	for (uint32_t slot = 0; slot < bh_unit_slots(unit); slot++) {
		atomic_store(&unit->caches[slot].low, (void **)UINTPTR_MAX);
		atomic_store(&unit->caches[slot].high, NULL);
	}
}

struct bh_unit *bh_unit_create(struct bh_heap *heap, uint32_t size, void *type)
{
	struct bh_unit *unit;
	uint32_t header;

	if (size > BH_OBJECT_MAX)
		return NULL;
	size = (size + 7) & ~7u;
	if (size < BH_OBJECT_MIN)
		size = BH_OBJECT_MIN;
	unit = bh_pages_map(heap->core, sizeof(*unit), 4096);
	if (!unit)
		return NULL;
	_Static_assert(offsetof(struct bh_unit, life) == BH_UNIT_LIFE, "see bh_unit_life");
	if (bh_is_hardened(heap->core)) {
		/* One for each slot, and that of shared objects. */
		unit->life = bh_region_lives((struct bh_region *)heap->core,
					     bh_core_cpus(heap->core) * BH_LEVELS + 1);
		if (!unit->life) {
			bh_pages_unmap(heap->core, unit, sizeof(*unit));
			return NULL;
		}
	}
	unit->heap = heap;
	unit->type = type;
	unit->size = size;
	unit->reciprocal = (uint32_t)((((uint64_t)1 << 32) + size - 1) / size);
	/* Two bitmaps, and a link for slabs in a grace period, as for the most objects there can be. */
	unit->words = (BH_SLAB / size + 63) / 64;
	if (!unit->words)
		unit->words = 1;
	header = (uint32_t)sizeof(struct bh_slab) + 2 * unit->words * 8 + 8;
	unit->first = (header + 63) & ~63u;
	unit->per_slab = size < BH_SLAB - unit->first ? (BH_SLAB - unit->first) / size : 1;
	unit->slab_bytes = unit->first + (size_t)unit->per_slab * size;
	unit->slab_bytes = (unit->slab_bytes + BH_SLAB - 1) & ~(size_t)(BH_SLAB - 1);
	/* As bpf_mem_refill's watermarks: the same for small objects, fewer of large ones. */
	unit->low = size <= 256 ? 32 : 32 * 256 / size ? 32 * 256 / size : 1;
	unit->high = size <= 256 ? 96 : 96 * 256 / size > 3 ? 96 * 256 / size : 3;
	unit->batch = (unit->high - unit->low) / 4 * 3;
	if (heap->limits.objects) {
		/* No context shall keep what others are then refused. */
		uint64_t share = heap->limits.objects / (4 * bh_unit_slots(unit));

		unit->low = 0;
		if (unit->batch > share)
			unit->batch = (uint32_t)share;
		unit->high = 2 * unit->batch;
	}
	if (!unit->batch)
		unit->batch = 1;
	if (unit->high < unit->batch)
		unit->high = unit->batch;
	unit->collect_work.run = bh_unit_collect;
	unit->reclaim_work.run = bh_unit_reclaim;
	unit->replenish_work.run = bh_unit_replenish;
	unit->caches = bh_pages_map(heap->core, caches_bytes(heap), 4096);
	if (!unit->caches) {
		bh_pages_unmap(heap->core, unit, sizeof(*unit));
		return NULL;
	}
	for (uint32_t slot = 0; slot < bh_unit_slots(unit); slot++) {
		struct bh_cache *cache = &unit->caches[slot];

		cache->unit = unit;
		cache->slot = slot;
		atomic_init(&cache->top, cache->objects);
		atomic_init(&cache->low, cache->objects + unit->low);
		atomic_init(&cache->high, cache->objects + unit->high);
		atomic_init(&cache->keep, unit->high);
		atomic_init(&cache->life, unit->life + slot);
	}
	bh_heap_lock(heap);
	/* bh_heap_close may be on its way. */
	if (bh_unit_closed(unit))
		bh_unit_shut(unit);
	unit->next = heap->units;
	heap->units = unit;
	bh_heap_unlock(heap);
	return unit;
}

uint32_t bh_unit_shared_life(const struct bh_unit *unit)
{
	return unit->life + bh_unit_slots(unit);
}

void bh_unit_share(struct bh_unit *unit)
{
	for (uint32_t slot = 0; slot < bh_unit_slots(unit); slot++)
		atomic_store_explicit(&unit->caches[slot].life, bh_unit_shared_life(unit), memory_order_relaxed);
}

void bh_unit_unmap(struct bh_unit *unit)
{
	for (uint64_t n = 0; n < unit->numbers; n++)
		if (*bh_slab_entry(unit, n))
			bh_slab_remove(unit, *bh_slab_entry(unit, n));
}

void bh_unit_destroy(struct bh_unit *unit)
{
	struct bh_core *core = unit->heap->core;

	for (unsigned i = 0; i < PAGES && unit->table[i]; i++)
		bh_pages_unmap(core, unit->table[i], PER_PAGE * sizeof(struct bh_slab *));
	bh_pages_unmap(core, unit->caches, caches_bytes(unit->heap));
	bh_pages_unmap(core, unit, sizeof(*unit));
}

/* -- more objects */

/* Whether there may be slabs for so many objects: a bound is not to be found by using all there is. */
static bool has_room(struct bh_unit *unit, uint64_t objects)
{
	uint64_t have = atomic_load(&unit->depot.count);
	uint64_t slabs = objects > have ? (objects - have) / unit->per_slab : 0;

	return slabs <= bh_pages_room(unit->heap->core) / unit->slab_bytes;
}

static bool prefill_locked(struct bh_unit *unit, uint32_t n)
{
	void *objects[2 * BH_SLOTS];
	struct free_object *first = NULL, *batch;
	uint64_t wanted = (uint64_t)n * bh_unit_slots(unit), have = 0;
	uint32_t count = 0;

	if (!has_room(unit, wanted))
		return false;
	while (have < wanted) {
		/* No batch is for two contexts. */
		uint32_t most = unit->batch < n - have % n ? unit->batch : (uint32_t)(n - have % n);
		uint32_t got;

		if (count < most) {
			batch = bh_depot_take(&unit->depot);
			got = batch ? bh_batch_unpack(batch, objects + count) :
				      bh_carve_locked(unit, objects + count, unit->batch);
			if (!got)
				break;
			count += got;
			continue;
		}
		count -= most;
		batch = bh_batch_pack(objects + count, most);
		bh_batch_link(batch, first, most);
		first = batch;
		have += most;
	}
	if (count)
		bh_depot_put(&unit->depot, bh_batch_pack(objects, count));
	for (uint32_t slot = 0; first; slot++) {
		struct bh_cache *cache = &unit->caches[slot];
		struct free_object *last = first, *rest;
		uint32_t total = bh_batch_length(last);

		while (have == wanted && total < n) {
			last = bh_batch_next(last);
			total += bh_batch_length(last);
		}
		rest = bh_batch_next(last);
		if (have < wanted) {
			bh_depot_put(&unit->depot, first);
		} else {
			atomic_fetch_add(&cache->keep, n);
			atomic_fetch_add(&cache->inbox_count, n);
			bh_batches_push(&cache->inbox, first, last);
		}
		first = rest;
	}
	return have == wanted;
}

static bool reserve_locked(struct bh_unit *unit, uint32_t n)
{
	/* Each context may keep so many from the others. */
	uint64_t left = n + (uint64_t)bh_unit_slots(unit) * (unit->high + unit->batch);
	void *objects[BH_SLOTS];

	if (!has_room(unit, left))
		return false;
	while (left) {
		uint32_t got = bh_carve_locked(unit, objects,
					    left < unit->batch ? (uint32_t)left : unit->batch);

		if (!got)
			return false;
		bh_depot_put(&unit->depot, bh_batch_pack(objects, got));
		left -= got;
	}
	return true;
}

/* With the lock all the way: what is moved meanwhile must not miss the drain of a heap that is closed. */
static bool unless_closed(struct bh_unit *unit, uint32_t n,
			  bool (*fill)(struct bh_unit *unit, uint32_t n))
{
	bool enough;

	bh_heap_lock(unit->heap);
	enough = !bh_unit_closed(unit) && fill(unit, n);
	bh_heap_unlock(unit->heap);
	return enough;
}

bool bh_unit_prefill(struct bh_unit *unit, uint32_t n)
{
	return unless_closed(unit, n, prefill_locked);
}

bool bh_unit_reserve(struct bh_unit *unit, uint32_t n)
{
	return unless_closed(unit, n, reserve_locked);
}

/* -- what it is */

struct bh_stats bh_unit_stats(struct bh_unit *unit)
{
	struct bh_stats stats;

	bh_heap_lock(unit->heap);
	stats = bh_unit_stats_locked(unit);
	bh_heap_unlock(unit->heap);
	return stats;
}

void *bh_unit_object(const struct bh_unit *unit, void *inside)
{
	return bh_slab_object(unit, bh_slab_of(inside), bh_object_number(unit, inside));
}

void bh_unit_each(struct bh_unit *unit, void (*see)(void *object, void *arg), void *arg)
{
	for (uint64_t n = 0; n < unit->numbers; n++) {
		struct bh_slab *slab = *bh_slab_entry(unit, n);
		uint32_t count = slab ? bh_slab_carved(unit, slab) : 0;

		for (uint32_t i = 0; i < count; i++)
			see(bh_slab_object(unit, slab, i), arg);
	}
}

void *bh_unit_type(const struct bh_unit *unit)
{
	return unit->type;
}

uint32_t bh_unit_size(const struct bh_unit *unit)
{
	return unit->size;
}

struct bh_heap *bh_unit_heap(const struct bh_unit *unit)
{
	return unit->heap;
}
