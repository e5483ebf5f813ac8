#define _GNU_SOURCE
#include "heap.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
	CHUNK = 16 * BH_SLAB,	/* what is mapped at a time */
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
struct object {
	struct object *child;
	uint64_t rest;
};

struct bh_unit {
	struct bh_cache *caches; /* first: see bh_cache_of */
	struct bh_heap *heap;
	struct bh_unit *next;
	void *type;
	uint32_t size;
	uint32_t per_slab;
	uint32_t first;	     /* offset of the first object of a slab */
	uint32_t words;	     /* of a bitmap of objects */
	uint32_t reciprocal; /* 2**32 / size, rounded up */
	uint32_t batch, low, high;
	size_t slab_bytes;
	_Atomic(struct bh_slab *) carving;
	_Atomic(void *) depot;
	_Atomic uint64_t depot_count;
	_Atomic uint64_t owned; /* objects that were carved out of slabs */
	_Atomic uint64_t slabs;
	_Atomic uint64_t numbers; /* of slabs, so far */
	_Atomic uint64_t peak;
	_Atomic uint64_t failures;
	_Atomic(struct bh_slab *) waiting; /* with objects that wait for a grace period */
	_Atomic uint64_t waiting_count;
	_Atomic(struct bh_slab *) condemned; /* empty ones of a closed heap */
	struct bh_work collect, reclaim, replenish;
	/* The worker's, while `reclaim` is queued: what was waiting and condemned when it collected. */
	struct bh_slab *in_grace;	 /* chained behind their bitmaps */
	struct bh_slab *condemned_in_grace; /* chained by next_waiting */
	_Atomic(struct bh_slab *) *table[PAGES];
};

struct bh_heap {
	struct bh_core *core;
	struct bh_limits limits;
	_Atomic bool closed;
	_Atomic uint64_t bytes;
	struct bh_work drain, end;
	pthread_mutex_t lock; /* of units, chunks and tables; never taken above level 0 */
	struct bh_unit *units;
	char *chunk, *chunk_end;
};

static size_t caches_bytes(const struct bh_heap *heap)
{
	return (size_t)bh_core_cpus(heap->core) * BH_LEVELS * sizeof(struct bh_cache);
}

static uint32_t slots_of(const struct bh_unit *unit)
{
	return bh_core_cpus(unit->heap->core) * BH_LEVELS;
}

static bool closed(const struct bh_unit *unit)
{
	return atomic_load_explicit(&unit->heap->closed, memory_order_acquire);
}

/* -- batches */

static struct object *next_batch(const struct object *batch)
{
	return (struct object *)(batch->rest & (((uint64_t)1 << 48) - 1));
}

static uint32_t length(const struct object *batch)
{
	return (uint32_t)(batch->rest >> 48);
}

static void link_batch(struct object *batch, struct object *next, uint32_t count)
{
	batch->rest = (uint64_t)(uintptr_t)next | (uint64_t)count << 48;
}

static struct object *pack(void *const *objects, uint32_t count)
{
	for (uint32_t n = 1; n < count; n++) {
		struct object *object = objects[n];

		object->child = 2 * n < count ? objects[2 * n] : NULL;
		object->rest = 2 * n + 1 < count ? (uintptr_t)objects[2 * n + 1] : 0;
	}
	((struct object *)objects[0])->child = count > 1 ? objects[1] : NULL;
	link_batch(objects[0], NULL, count);
	return objects[0];
}

static uint32_t unpack(struct object *batch, void **objects)
{
	uint32_t count = length(batch);

	objects[0] = batch;
	objects[1] = batch->child;
	for (uint32_t n = 1; 2 * n < count; n++) {
		struct object *object = objects[n];

		objects[2 * n] = object->child;
		/* One more than there is, if their number is even; there is room. */
		objects[2 * n + 1] = (void *)(uintptr_t)object->rest;
	}
	return count;
}

static void push_batches(_Atomic(void *) *list, struct object *first, struct object *last)
{
	void *head = atomic_load_explicit(list, memory_order_relaxed);

	do
		link_batch(last, head, length(last));
	while (!atomic_compare_exchange_weak_explicit(list, &head, first, memory_order_release,
						      memory_order_relaxed));
}

/*
 * Take all, and give back all but one: nobody looks into a batch that another may have taken, so
 * there is no harm in objects that come and go (ABA).
 */
static struct object *pop_batch(_Atomic(void *) *list)
{
	struct object *batch, *rest;
	void *nothing = NULL;

	if (!atomic_load_explicit(list, memory_order_relaxed))
		return NULL;
	batch = atomic_exchange_explicit(list, NULL, memory_order_acquire);
	if (!batch)
		return NULL;
	rest = next_batch(batch);
	if (rest && !atomic_compare_exchange_strong_explicit(list, &nothing, rest,
							     memory_order_release,
							     memory_order_relaxed)) {
		struct object *last = rest;

		while (next_batch(last))
			last = next_batch(last);
		push_batches(list, rest, last);
	}
	return batch;
}

static void to_depot(struct bh_unit *unit, struct object *batch)
{
	atomic_fetch_add_explicit(&unit->depot_count, length(batch), memory_order_relaxed);
	push_batches(&unit->depot, batch, batch);
}

static struct object *from_depot(struct bh_unit *unit)
{
	struct object *batch = pop_batch(&unit->depot);

	if (batch)
		atomic_fetch_sub_explicit(&unit->depot_count, length(batch), memory_order_relaxed);
	return batch;
}

/* -- counts */

static uint64_t free_in_caches(const struct bh_unit *unit)
{
	uint64_t count = atomic_load(&unit->depot_count) + atomic_load(&unit->waiting_count);

	for (uint32_t slot = 0; slot < slots_of(unit); slot++) {
		struct bh_cache *cache = &unit->caches[slot];

		count += bh_cached(cache) +
			 atomic_load_explicit(&cache->spare_count, memory_order_relaxed) +
			 atomic_load_explicit(&cache->inbox_count, memory_order_relaxed);
	}
	return count;
}

static struct bh_stats stats_locked(struct bh_unit *unit)
{
	struct bh_stats stats = {
		.slabs = atomic_load(&unit->slabs),
		.bytes = atomic_load(&unit->slabs) * unit->slab_bytes,
		.failures = atomic_load(&unit->failures),
		};
	uint64_t owned = atomic_load(&unit->owned);

	stats.cached = free_in_caches(unit);
	/* While others allocate and free, the counts are of different moments. */
	stats.live = owned > stats.cached ? owned - stats.cached : 0;
	stats.peak = atomic_load(&unit->peak);
	while (stats.peak < stats.live)
		if (atomic_compare_exchange_weak(&unit->peak, &stats.peak, stats.live))
			stats.peak = stats.live;
	return stats;
}

/* -- slabs */

static struct bh_slab *_Atomic *entry(struct bh_unit *unit, uint64_t number)
{
	return &unit->table[number / PER_PAGE][number % PER_PAGE];
}

static void *map_slab(struct bh_heap *heap, size_t bytes)
{
	void *slab;

	if (bytes > BH_SLAB)
		return bh_pages_map(heap->core, bytes, BH_SLAB);
	if (heap->chunk == heap->chunk_end) {
		heap->chunk = bh_pages_map(heap->core, CHUNK, BH_SLAB);
		heap->chunk_end = heap->chunk ? heap->chunk + CHUNK : NULL;
		if (!heap->chunk)
			return NULL;
	}
	slab = heap->chunk;
	heap->chunk += BH_SLAB;
	return slab;
}

/* With the heap's lock. */
static bool add_slab(struct bh_unit *unit)
{
	struct bh_heap *heap = unit->heap;
	uint64_t limit = heap->limits.bytes;
	uint64_t number = atomic_load_explicit(&unit->numbers, memory_order_relaxed);
	size_t page = PER_PAGE * sizeof(struct bh_slab *);
	struct bh_slab *slab;

	if (limit && atomic_load(&heap->bytes) + unit->slab_bytes > limit)
		return false;
	if (number == (uint64_t)PAGES * PER_PAGE)
		return false;
	if (!unit->table[number / PER_PAGE]) {
		unit->table[number / PER_PAGE] = bh_pages_map(heap->core, page, page);
		if (!unit->table[number / PER_PAGE])
			return false;
	}
	slab = map_slab(heap, unit->slab_bytes);
	if (!slab)
		return false;
	/* A good moment to look: more live than ever before, mostly. */
	stats_locked(unit);
	slab->unit = unit;
	slab->number = number;
	atomic_init(&slab->live, BIAS);
	atomic_store_explicit(entry(unit, number), slab, memory_order_relaxed);
	atomic_store_explicit(&unit->numbers, number + 1, memory_order_relaxed);
	atomic_fetch_add(&unit->slabs, 1);
	atomic_fetch_add(&heap->bytes, unit->slab_bytes);
	atomic_store_explicit(&unit->carving, slab, memory_order_release);
	return true;
}

static void remove_slab(struct bh_unit *unit, struct bh_slab *slab)
{
	struct bh_heap *heap = unit->heap;

	atomic_store_explicit(entry(unit, slab->number), NULL, memory_order_relaxed);
	atomic_fetch_sub(&unit->slabs, 1);
	atomic_fetch_sub(&heap->bytes, unit->slab_bytes);
	bh_pages_unmap(heap->core, slab, unit->slab_bytes);
}

/* After something was put into a list. A reclaim that is yet to begin looks at the lists itself. */
static void ask_to_collect(struct bh_unit *unit)
{
	if (!atomic_load(&unit->reclaim.queued))
		bh_queue(unit->heap->core, &unit->collect);
}

/* Programs that run may still look into a slab when its last object is freed. */
static void condemn(struct bh_unit *unit, struct bh_slab *slab)
{
	struct bh_slab *head = atomic_load(&unit->condemned);

	do
		atomic_store(&slab->next_waiting, head);
	while (!atomic_compare_exchange_weak(&unit->condemned, &head, slab));
	ask_to_collect(unit);
}

/*
 * Of a closed heap: nothing in the slab lives. Where frees wait for a grace period the slab may be in
 * the list of those; then collect, which takes it out, comes here again.
 */
static void remove_if_empty(struct bh_unit *unit, struct bh_slab *slab)
{
	int32_t none = 0;

	if (!atomic_load(&slab->next_waiting) &&
	    atomic_compare_exchange_strong(&slab->live, &none, REMOVED))
		condemn(unit, slab);
}

static uint32_t carved(const struct bh_unit *unit, const struct bh_slab *slab)
{
	uint32_t count = atomic_load_explicit(&slab->carved, memory_order_relaxed);

	return count < unit->per_slab ? count : unit->per_slab;
}

/* May `want` objects more be owned? How many may, and are, from here on. */
static uint32_t own(struct bh_unit *unit, uint32_t want)
{
	uint64_t limit = unit->heap->limits.objects;
	uint64_t owned = atomic_load_explicit(&unit->owned, memory_order_relaxed);
	uint32_t got;

	do {
		got = want;
		if (limit && owned + got > limit)
			got = owned < limit ? (uint32_t)(limit - owned) : 0;
	} while (got && !atomic_compare_exchange_weak(&unit->owned, &owned, owned + got));
	return got;
}

/* New objects out of the slab that is there; how many. From any context. */
static uint32_t carve(struct bh_unit *unit, void **out, uint32_t want)
{
	struct bh_slab *slab = atomic_load_explicit(&unit->carving, memory_order_acquire);
	uint32_t at, got;

	if (!slab || atomic_load_explicit(&slab->carved, memory_order_relaxed) >= unit->per_slab)
		return 0;
	want = own(unit, want);
	if (!want)
		return 0;
	at = atomic_fetch_add_explicit(&slab->carved, want, memory_order_relaxed);
	got = at >= unit->per_slab ? 0 : unit->per_slab - at < want ? unit->per_slab - at : want;
	if (got < want)
		atomic_fetch_sub(&unit->owned, want - got);
	/* The lowest address is allocated first. */
	for (uint32_t i = 0; i < got; i++)
		out[got - 1 - i] = (char *)slab + unit->first + (size_t)(at + i) * unit->size;
	return got;
}

/* The same, with a new slab if there is none; with the heap's lock. */
static uint32_t carve_locked(struct bh_unit *unit, void **out, uint32_t want)
{
	uint32_t got = carve(unit, out, want);

	if (!got && own(unit, 1)) {
		atomic_fetch_sub(&unit->owned, 1);
		if (add_slab(unit))
			got = carve(unit, out, want);
	}
	return got;
}

/* The same; not above level 0. */
static uint32_t carve_or_map(struct bh_unit *unit, void **out, uint32_t want)
{
	uint32_t got = carve(unit, out, want);

	if (!got) {
		pthread_mutex_lock(&unit->heap->lock);
		got = carve_locked(unit, out, want);
		pthread_mutex_unlock(&unit->heap->lock);
	}
	return got;
}

/*
 * The worker makes sure that contexts that cannot map find something in the depot. What it moves, it
 * moves with the lock, so that statistics see an object in one place at any time.
 */
static void replenish(struct bh_work *work)
{
	struct bh_unit *unit = (void *)((char *)work - offsetof(struct bh_unit, replenish));
	void *objects[BH_SLOTS];

	pthread_mutex_lock(&unit->heap->lock);
	while (!closed(unit) && atomic_load(&unit->depot_count) < 2 * unit->batch) {
		uint32_t got = carve_locked(unit, objects, unit->batch);

		if (!got)
			break;
		to_depot(unit, pack(objects, got));
	}
	pthread_mutex_unlock(&unit->heap->lock);
}

static void ask_to_replenish(struct bh_unit *unit)
{
	bh_queue(unit->heap->core, &unit->replenish);
}

/* -- after the end */

/* An object that was live when its heap was closed, or was freed since. */
static void free_closed(struct bh_unit *unit, void *object)
{
	struct bh_slab *slab = bh_slab_of(object);

	atomic_fetch_sub(&unit->owned, 1);
	if (atomic_fetch_sub(&slab->live, 1) == 1)
		remove_if_empty(unit, slab);
}

/* -- caches */

static void set_cached(struct bh_cache *cache, uint32_t count)
{
	atomic_store_explicit(&cache->top, cache->objects + count, memory_order_relaxed);
}

static void count_in(_Atomic uint32_t *count, int32_t change)
{
	/* Only this context writes it. */
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + change,
			      memory_order_relaxed);
}

static void take_inbox(struct bh_cache *cache)
{
	struct object *first, *last;
	uint32_t total = 0;

	if (!atomic_load_explicit(&cache->inbox, memory_order_relaxed))
		return;
	first = atomic_exchange_explicit(&cache->inbox, NULL, memory_order_acquire);
	for (last = first;; last = next_batch(last)) {
		total += length(last);
		if (!next_batch(last))
			break;
	}
	link_batch(last, cache->spare, length(last));
	cache->spare = first;
	count_in(&cache->spare_count, (int32_t)total);
	atomic_fetch_sub_explicit(&cache->inbox_count, total, memory_order_relaxed);
}

static uint32_t more(struct bh_cache *cache, void **out)
{
	struct bh_unit *unit = cache->unit;
	struct object *batch;

	take_inbox(cache);
	batch = cache->spare;
	if (batch) {
		cache->spare = next_batch(batch);
		count_in(&cache->spare_count, -(int32_t)length(batch));
		return unpack(batch, out);
	}
	batch = from_depot(unit);
	if (batch)
		return unpack(batch, out);
	return cache->slot % BH_LEVELS ? carve(unit, out, unit->batch) :
					 carve_or_map(unit, out, unit->batch);
}

void *bh_alloc_slow(struct bh_cache *cache)
{
	struct bh_unit *unit = cache->unit;
	uint32_t count = bh_cached(cache);

	if (closed(unit)) {
		atomic_fetch_add_explicit(&unit->failures, 1, memory_order_relaxed);
		return NULL;
	}
	count += more(cache, cache->objects + count);
	/* Above level 0 nothing can be mapped: let the worker, before it is too late. */
	if (count <= unit->low && cache->slot % BH_LEVELS)
		ask_to_replenish(unit);
	if (!count) {
		atomic_fetch_add_explicit(&unit->failures, 1, memory_order_relaxed);
		return NULL;
	}
	set_cached(cache, --count);
	return cache->objects[count];
}

void bh_free_slow(struct bh_cache *cache, void *object)
{
	struct bh_unit *unit = cache->unit;
	uint32_t count = bh_cached(cache);
	struct object *batch;
	uint32_t kept;

	if (closed(unit)) {
		free_closed(unit, object);
		return;
	}
	/* Spill those that were freed longest ago. */
	batch = pack(cache->objects, unit->batch);
	count -= unit->batch;
	memmove(cache->objects, cache->objects + unit->batch, count * sizeof(void *));
	kept = count + atomic_load_explicit(&cache->spare_count, memory_order_relaxed);
	if (kept + unit->batch <= atomic_load_explicit(&cache->keep, memory_order_relaxed)) {
		link_batch(batch, cache->spare, unit->batch);
		cache->spare = batch;
		count_in(&cache->spare_count, (int32_t)unit->batch);
	} else {
		to_depot(unit, batch);
	}
	cache->objects[count] = object;
	set_cached(cache, count + 1);
}

/* -- grace periods */

static uint32_t number_of(const struct bh_slab *slab, const void *inside)
{
	uint64_t offset = (uintptr_t)inside - (uintptr_t)slab - slab->unit->first;

	return (uint32_t)(offset * slab->unit->reciprocal >> 32);
}

void *bh_unit_object(void *inside)
{
	struct bh_slab *slab = bh_slab_of(inside);

	return (char *)slab + slab->unit->first + (size_t)number_of(slab, inside) * slab->unit->size;
}

void bh_free_rcu(void *object)
{
	struct bh_slab *slab = bh_slab_of(object), *not_queued = NULL;
	struct bh_unit *unit = slab->unit;
	uint32_t n = number_of(slab, object);

	atomic_fetch_add_explicit(&unit->waiting_count, 1, memory_order_relaxed);
	atomic_fetch_or_explicit(&slab->waiting[n / 64], (uint64_t)1 << n % 64,
				 memory_order_release);
	/* A slab that is in the list is chained to something: to itself if it is the last. */
	if (atomic_compare_exchange_strong(&slab->next_waiting, &not_queued, slab)) {
		struct bh_slab *head = atomic_load(&unit->waiting);

		do
			atomic_store(&slab->next_waiting, head ? head : slab);
		while (!atomic_compare_exchange_weak(&unit->waiting, &head, slab));
	}
	ask_to_collect(unit);
}

/*
 * Before a grace period: what is freed from here on waits for the next one. While one is going on,
 * or runs are held, what was collected before must stay as it is: then reclaim asks for this again.
 */
static void collect(struct bh_work *work)
{
	struct bh_unit *unit = (void *)((char *)work - offsetof(struct bh_unit, collect));
	struct bh_slab *slab, *next;

	if (atomic_load(&unit->reclaim.queued))
		return;
	assert(!unit->in_grace && !unit->condemned_in_grace);
	slab = atomic_exchange(&unit->waiting, NULL);
	for (; slab; slab = next) {
		uint64_t *in_grace = (uint64_t *)slab->waiting + unit->words, any = 0;

		next = atomic_load(&slab->next_waiting);
		if (next == slab)
			next = NULL;
		/* First out of the list, then the bits: one that is set meanwhile puts it back. */
		atomic_store(&slab->next_waiting, NULL);
		for (uint32_t i = 0; i < unit->words; i++)
			any |= in_grace[i] = atomic_exchange(&slab->waiting[i], 0);
		if (any) {
			*(struct bh_slab **)(in_grace + unit->words) = unit->in_grace;
			unit->in_grace = slab;
		} else {
			remove_if_empty(unit, slab);
		}
	}
	unit->condemned_in_grace = atomic_exchange(&unit->condemned, NULL);
	if (unit->in_grace || unit->condemned_in_grace)
		bh_call_rcu(unit->heap->core, &unit->reclaim);
}

static void give_back(struct bh_unit *unit, void **objects, uint32_t count)
{
	pthread_mutex_lock(&unit->heap->lock);
	atomic_fetch_sub_explicit(&unit->waiting_count, count, memory_order_relaxed);
	if (closed(unit)) {
		for (uint32_t i = 0; i < count; i++)
			free_closed(unit, objects[i]);
	} else {
		to_depot(unit, pack(objects, count));
	}
	pthread_mutex_unlock(&unit->heap->lock);
}

static void reclaim(struct bh_work *work)
{
	struct bh_unit *unit = (void *)((char *)work - offsetof(struct bh_unit, reclaim));
	struct bh_slab *slab, *next;
	void *objects[BH_SLOTS];
	uint32_t count = 0;

	for (slab = unit->condemned_in_grace; slab; slab = next) {
		next = atomic_load(&slab->next_waiting);
		remove_slab(unit, slab);
	}
	unit->condemned_in_grace = NULL;
	while (unit->in_grace) {
		uint64_t *in_grace;

		slab = unit->in_grace;
		in_grace = (uint64_t *)slab->waiting + unit->words;
		unit->in_grace = *(struct bh_slab **)(in_grace + unit->words);
		for (uint32_t i = 0; i < unit->words; i++) {
			uint64_t bits = in_grace[i];

			/* The last object that goes may take the slab along. */
			in_grace[i] = 0;
			for (; bits; bits &= bits - 1) {
				uint32_t n = i * 64 + (uint32_t)__builtin_ctzll(bits);

				if (count == unit->batch) {
					give_back(unit, objects, count);
					count = 0;
				}
				objects[count++] = (char *)slab + unit->first + (size_t)n * unit->size;
			}
		}
	}
	if (count)
		give_back(unit, objects, count);
	/* Those that came meanwhile may have found nobody to collect them. */
	if (atomic_load(&unit->waiting) || atomic_load(&unit->condemned))
		bh_queue(unit->heap->core, &unit->collect);
}

/* -- units */

/* Let all that allocates or frees take the slow path, where it finds the heap closed. */
static void shut_caches(struct bh_unit *unit)
{
	for (uint32_t slot = 0; slot < slots_of(unit); slot++) {
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
		uint64_t share = heap->limits.objects / (4 * slots_of(unit));

		unit->low = 0;
		if (unit->batch > share)
			unit->batch = (uint32_t)share;
		unit->high = 2 * unit->batch;
	}
	if (!unit->batch)
		unit->batch = 1;
	if (unit->high < unit->batch)
		unit->high = unit->batch;
	unit->collect.run = collect;
	unit->reclaim.run = reclaim;
	unit->replenish.run = replenish;
	unit->caches = bh_pages_map(heap->core, caches_bytes(heap), 4096);
	if (!unit->caches) {
		bh_pages_unmap(heap->core, unit, sizeof(*unit));
		return NULL;
	}
	for (uint32_t slot = 0; slot < slots_of(unit); slot++) {
		struct bh_cache *cache = &unit->caches[slot];

		cache->unit = unit;
		cache->slot = slot;
		atomic_init(&cache->top, cache->objects);
		atomic_init(&cache->low, cache->objects + unit->low);
		atomic_init(&cache->high, cache->objects + unit->high);
		atomic_init(&cache->keep, unit->high);
	}
	pthread_mutex_lock(&heap->lock);
	/* bh_heap_close may be on its way. */
	if (closed(unit))
		shut_caches(unit);
	unit->next = heap->units;
	heap->units = unit;
	pthread_mutex_unlock(&heap->lock);
	return unit;
}

bool bh_unit_prefill(struct bh_unit *unit, uint32_t n)
{
	void *objects[2 * BH_SLOTS];
	struct object *first = NULL, *batch;
	uint64_t wanted = (uint64_t)n * slots_of(unit), have = 0;
	uint32_t count = 0;

	if (closed(unit))
		return false;
	while (have < wanted) {
		/* No batch is for two contexts. */
		uint32_t most = unit->batch < n - have % n ? unit->batch : (uint32_t)(n - have % n);
		uint32_t got;

		if (count < most) {
			batch = from_depot(unit);
			got = batch ? unpack(batch, objects + count) :
				      carve_or_map(unit, objects + count, unit->batch);
			if (!got)
				break;
			count += got;
			continue;
		}
		count -= most;
		batch = pack(objects + count, most);
		link_batch(batch, first, most);
		first = batch;
		have += most;
	}
	if (count)
		to_depot(unit, pack(objects, count));
	for (uint32_t slot = 0; first; slot++) {
		struct bh_cache *cache = &unit->caches[slot];
		struct object *last = first, *rest;
		uint32_t total = length(last);

		while (have == wanted && total < n) {
			last = next_batch(last);
			total += length(last);
		}
		rest = next_batch(last);
		if (have < wanted) {
			to_depot(unit, first);
		} else {
			atomic_fetch_add(&cache->keep, n);
			atomic_fetch_add(&cache->inbox_count, n);
			push_batches(&cache->inbox, first, last);
		}
		first = rest;
	}
	return have == wanted;
}

bool bh_unit_reserve(struct bh_unit *unit, uint32_t n)
{
	/* Each context may keep so many from the others. */
	uint64_t left = n + (uint64_t)slots_of(unit) * (unit->high + unit->batch);
	void *objects[BH_SLOTS];

	while (left) {
		uint32_t got = carve_or_map(unit, objects,
					    left < unit->batch ? (uint32_t)left : unit->batch);

		if (!got)
			return false;
		to_depot(unit, pack(objects, got));
		left -= got;
	}
	return true;
}

void bh_unit_each(struct bh_unit *unit, void (*see)(void *object, void *arg), void *arg)
{
	for (uint64_t n = 0; n < unit->numbers; n++) {
		struct bh_slab *slab = *entry(unit, n);
		uint32_t count = slab ? carved(unit, slab) : 0;

		for (uint32_t i = 0; i < count; i++)
			see((char *)slab + unit->first + (size_t)i * unit->size, arg);
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

static void unit_destroy(struct bh_unit *unit)
{
	struct bh_core *core = unit->heap->core;

	for (uint64_t n = 0; n < unit->numbers; n++)
		if (*entry(unit, n))
			remove_slab(unit, *entry(unit, n));
	for (unsigned i = 0; i < PAGES && unit->table[i]; i++)
		bh_pages_unmap(core, unit->table[i], PER_PAGE * sizeof(struct bh_slab *));
	bh_pages_unmap(core, unit->caches, caches_bytes(unit->heap));
	bh_pages_unmap(core, unit, sizeof(*unit));
}

/* -- heaps */

/* All of these are free: owned by the heap, and live no more. */
static void drop(struct bh_unit *unit, struct object *batches)
{
	while (batches) {
		void *objects[BH_SLOTS];
		struct object *rest = next_batch(batches);
		uint32_t count = unpack(batches, objects);

		for (uint32_t i = 0; i < count; i++)
			free_closed(unit, objects[i]);
		batches = rest;
	}
}

static void drain_unit(struct bh_unit *unit)
{
	for (uint32_t slot = 0; slot < slots_of(unit); slot++) {
		struct bh_cache *cache = &unit->caches[slot];
		uint32_t count = bh_cached(cache);

		for (uint32_t i = 0; i < count; i++)
			free_closed(unit, cache->objects[i]);
		drop(unit, atomic_exchange(&cache->inbox, NULL));
		drop(unit, cache->spare);
		cache->spare = NULL;
		set_cached(cache, 0);
		atomic_store(&cache->spare_count, 0);
		atomic_store(&cache->inbox_count, 0);
	}
	drop(unit, atomic_exchange(&unit->depot, NULL));
	atomic_store(&unit->depot_count, 0);
	/* Now each slab's count has lost one for each free object: what is left, lives. */
	for (uint64_t n = 0; n < unit->numbers; n++) {
		struct bh_slab *slab = *entry(unit, n);
		int32_t more = (int32_t)carved(unit, slab) - BIAS;

		if (atomic_fetch_add(&slab->live, more) + more == 0)
			remove_if_empty(unit, slab);
	}
}

/*
 * When runs that saw the heap open have ended: from then on caches stay as they are. With the lock, as
 * whoever gives objects back looks under it whether the heap is closed, and so that statistics are of
 * before or after.
 */
static void drain_heap(struct bh_work *work)
{
	struct bh_heap *heap = (void *)((char *)work - offsetof(struct bh_heap, drain));

	bh_synchronize_rcu(heap->core, NULL);
	pthread_mutex_lock(&heap->lock);
	for (struct bh_unit *unit = heap->units; unit; unit = unit->next)
		drain_unit(unit);
	if (heap->chunk != heap->chunk_end)
		bh_pages_unmap(heap->core, heap->chunk, (size_t)(heap->chunk_end - heap->chunk));
	heap->chunk = heap->chunk_end = NULL;
	pthread_mutex_unlock(&heap->lock);
}

static bool is_awaited(struct bh_heap *heap)
{
	if (atomic_load(&heap->drain.queued))
		return true;
	for (struct bh_unit *unit = heap->units; unit; unit = unit->next)
		if (atomic_load(&unit->collect.queued) || atomic_load(&unit->reclaim.queued) ||
		    atomic_load(&unit->replenish.queued))
			return true;
	return false;
}

static void end_heap(struct bh_work *work)
{
	struct bh_heap *heap = (void *)((char *)work - offsetof(struct bh_heap, end));

	/* What is still to be done for it comes first. */
	if (is_awaited(heap)) {
		bh_call_rcu(heap->core, work);
		return;
	}
	while (heap->units) {
		struct bh_unit *unit = heap->units;

		heap->units = unit->next;
		unit_destroy(unit);
	}
	pthread_mutex_destroy(&heap->lock);
	free(heap);
}

struct bh_heap *bh_heap_create(struct bh_core *core, struct bh_limits limits)
{
	struct bh_heap *heap = calloc(1, sizeof(*heap));

	if (!heap)
		return NULL;
	heap->core = core;
	heap->limits = limits;
	heap->drain.run = drain_heap;
	heap->end.run = end_heap;
	pthread_mutex_init(&heap->lock, NULL);
	return heap;
}

void bh_heap_close(struct bh_heap *heap)
{
	if (atomic_exchange(&heap->closed, true))
		return;
	pthread_mutex_lock(&heap->lock);
	for (struct bh_unit *unit = heap->units; unit; unit = unit->next)
		shut_caches(unit);
	pthread_mutex_unlock(&heap->lock);
	bh_queue(heap->core, &heap->drain);
}

void bh_heap_destroy(struct bh_heap *heap)
{
	bh_heap_close(heap);
	bh_call_rcu(heap->core, &heap->end);
}

/* -- statistics */

struct bh_stats bh_unit_stats(struct bh_unit *unit)
{
	struct bh_stats stats;

	pthread_mutex_lock(&unit->heap->lock);
	stats = stats_locked(unit);
	pthread_mutex_unlock(&unit->heap->lock);
	return stats;
}

struct bh_stats bh_heap_stats(struct bh_heap *heap)
{
	struct bh_stats total = { 0 };

	pthread_mutex_lock(&heap->lock);
	for (struct bh_unit *unit = heap->units; unit; unit = unit->next) {
		struct bh_stats one = stats_locked(unit);

		total.live += one.live;
		total.peak += one.peak;
		total.cached += one.cached;
		total.slabs += one.slabs;
		total.bytes += one.bytes;
		total.failures += one.failures;
	}
	pthread_mutex_unlock(&heap->lock);
	return total;
}
