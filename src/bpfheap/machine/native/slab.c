#include "memory.h"
#include "slab_private.h"

enum { CHUNK = 16 * BH_SLAB }; /* what is mapped at a time */

/* The locks that this thread has or waits for; initial-exec, as signal handlers read it. */
static _Thread_local uint32_t heap_locks __attribute__((tls_model("initial-exec")));

void bh_heap_lock(struct bh_heap *heap)
{
	heap_locks++;
	atomic_signal_fence(memory_order_seq_cst);
	pthread_mutex_lock(&heap->lock);
}

void bh_heap_unlock(struct bh_heap *heap)
{
	pthread_mutex_unlock(&heap->lock);
	atomic_signal_fence(memory_order_seq_cst);
	heap_locks--;
}

bool bh_may_map(uint32_t slot)
{
	return slot % BH_LEVELS == 0 && !heap_locks;
}

static void *map_slab(struct bh_heap *heap, size_t bytes)
{
	void *slab;

	if (bytes > BH_SLAB)
		return bh_memory_map(heap->core, bytes, BH_SLAB, BH_SLABS);
	if (heap->chunk == heap->chunk_end) {
		heap->chunk = bh_memory_map(heap->core, CHUNK, BH_SLAB, BH_SLABS);
		heap->chunk_end = heap->chunk ? heap->chunk + CHUNK : NULL;
		if (!heap->chunk)
			return NULL;
	}
	slab = heap->chunk;
	heap->chunk += BH_SLAB;
	return slab;
}

/* Count up to `want` objects more as owned, as far as the limit lets; how many. */
static uint32_t reserve_owned(struct bh_unit *unit, uint32_t want)
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

uint32_t bh_carve(struct bh_unit *unit, void **out, uint32_t want)
{
	struct bh_slab *slab = atomic_load_explicit(&unit->carving, memory_order_acquire);
	uint32_t at, got;

	if (!slab || atomic_load_explicit(&slab->carved, memory_order_relaxed) >= unit->per_slab)
		return 0;
	want = reserve_owned(unit, want);
	if (!want)
		return 0;
	at = atomic_fetch_add_explicit(&slab->carved, want, memory_order_relaxed);
	got = at >= unit->per_slab ? 0 : unit->per_slab - at < want ? unit->per_slab - at : want;
	if (got < want)
		atomic_fetch_sub(&unit->owned, want - got);
	/* The lowest address is allocated first. */
	for (uint32_t i = 0; i < got; i++)
		out[got - 1 - i] = bh_slab_object(unit, slab, at + i);
	return got;
}

struct bh_slab *bh_slab_map(struct bh_unit *unit)
{
	struct bh_heap *heap = unit->heap;
	uint64_t limit = heap->limits.bytes;
	uint64_t number = atomic_load_explicit(&unit->numbers, memory_order_relaxed);
	size_t page = PER_PAGE * sizeof(struct bh_slab *);

	/* None for objects that there may not be. */
	if (!reserve_owned(unit, 1))
		return NULL;
	atomic_fetch_sub(&unit->owned, 1);
	if (limit && atomic_load(&heap->bytes) + unit->slab_bytes > limit)
		return NULL;
	if (number == (uint64_t)PAGES * PER_PAGE)
		return NULL;
	if (!unit->table[number / PER_PAGE]) {
		unit->table[number / PER_PAGE] = bh_pages_map(heap->core, page, page);
		if (!unit->table[number / PER_PAGE])
			return NULL;
	}
	return map_slab(heap, unit->slab_bytes);
}

void bh_slab_add(struct bh_unit *unit, struct bh_slab *slab)
{
	uint64_t number = atomic_load_explicit(&unit->numbers, memory_order_relaxed);

	slab->unit = unit;
	slab->number = number;
	atomic_init(&slab->live, BIAS);
	atomic_store_explicit(bh_slab_entry(unit, number), slab, memory_order_relaxed);
	atomic_store_explicit(&unit->numbers, number + 1, memory_order_relaxed);
	atomic_fetch_add(&unit->slabs, 1);
	atomic_fetch_add(&unit->heap->bytes, unit->slab_bytes);
	atomic_store_explicit(&unit->carving, slab, memory_order_release);
}

void bh_slab_remove(struct bh_unit *unit, struct bh_slab *slab)
{
	struct bh_heap *heap = unit->heap;

	atomic_store_explicit(bh_slab_entry(unit, slab->number), NULL, memory_order_relaxed);
	atomic_fetch_sub(&unit->slabs, 1);
	atomic_fetch_sub(&heap->bytes, unit->slab_bytes);
	bh_memory_unmap(heap->core, slab, unit->slab_bytes);
}
