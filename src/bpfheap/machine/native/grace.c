#include "batch.h"
#include "grace.h"
#include "slab_private.h"

#include <assert.h>

/* Let the worker collect what was put into a list; a reclaim that has not begun does so at its end. */
static void ask_to_collect(struct bh_unit *unit)
{
	if (!atomic_load(&unit->reclaim_work.queued))
		bh_queue(unit->heap->core, &unit->collect_work);
}

/* -- empty slabs of closed heaps */

/* Unmap a slab after a grace period: runs that go on may still look into it. */
static void condemn(struct bh_unit *unit, struct bh_slab *slab)
{
	struct bh_slab *head = atomic_load(&unit->condemned);

	do
		slab->next_condemned = head;
	while (!atomic_compare_exchange_weak(&unit->condemned, &head, slab));
	ask_to_collect(unit);
}

/* A slab in the list of those with waiting objects stays: bh_unit_collect takes it out, and asks again. */
void bh_slab_remove_if_empty(struct bh_unit *unit, struct bh_slab *slab)
{
	int32_t none = 0;

	if (!atomic_load(&slab->next_waiting) &&
	    atomic_compare_exchange_strong(&slab->live, &none, REMOVED))
		condemn(unit, slab);
}

void bh_free_closed(struct bh_unit *unit, void *object)
{
	struct bh_slab *slab = bh_slab_of(object);

	atomic_fetch_sub(&unit->owned, 1);
	if (atomic_fetch_sub(&slab->live, 1) == 1)
		bh_slab_remove_if_empty(unit, slab);
}

/* -- objects that wait for a grace period */

void bh_free_rcu(void *object)
{
	struct bh_slab *slab = bh_slab_of(object), *not_queued = NULL;
	struct bh_unit *unit = bh_unit_of(object);
	uint32_t n = bh_object_number(unit, object);
	uint64_t bit = (uint64_t)1 << n % 64;

	atomic_fetch_add_explicit(&unit->waiting_count, 1, memory_order_relaxed);
	/* It waits already if two contexts of a hardened core freed it. */
	if (atomic_fetch_or_explicit(&slab->waiting[n / 64], bit, memory_order_acq_rel) & bit)
		atomic_fetch_sub_explicit(&unit->waiting_count, 1, memory_order_relaxed);
	/* A slab that is in the list is chained to something: to itself if it is the last. */
	if (atomic_compare_exchange_strong(&slab->next_waiting, &not_queued, slab)) {
		struct bh_slab *head = atomic_load(&unit->waiting);

		do
			atomic_store(&slab->next_waiting, head ? head : slab);
		while (!atomic_compare_exchange_weak(&unit->waiting, &head, slab));
	}
	ask_to_collect(unit);
}

/* On a hardened core: what was freed apart (enum bh_life) and is among these objects of a slab is so from before
 * the grace period. */
static void begin_grace(const struct bh_unit *unit, struct bh_slab *slab, uint32_t word, uint64_t bits)
{
	for (; bits; bits &= bits - 1) {
		void *object = bh_slab_object(unit, slab, word * 64 + (uint32_t)__builtin_ctzll(bits));
		uint32_t apart = BH_APART;

		atomic_compare_exchange_strong(bh_region_life(bh_region_of(unit->heap->core), object), &apart,
					       BH_APART_IN_GRACE);
	}
}

/* After the grace period: did nobody else free it meanwhile? */
static bool end_grace(const struct bh_unit *unit, void *object)
{
	_Atomic uint32_t *life = bh_region_life(bh_region_of(unit->heap->core), object);
	uint32_t seen = atomic_load(life);

	return (seen == BH_DEAD || seen == BH_APART_IN_GRACE) &&
	       atomic_compare_exchange_strong(life, &seen, BH_FREE);
}

/*
 * Sets apart what waits for the grace period that then begins; what is freed later waits for the next one.
 * While bh_unit_reclaim is queued what was set apart stays as it is: that asks for this again at its end.
 */
void bh_unit_collect(struct bh_work *work)
{
	struct bh_unit *unit = (void *)((char *)work - offsetof(struct bh_unit, collect_work));
	struct bh_slab *slab, *next;

	if (atomic_load(&unit->reclaim_work.queued))
		return;
	assert(!unit->in_grace && !unit->condemned_in_grace);
	slab = atomic_exchange(&unit->waiting, NULL);
	for (; slab; slab = next) {
		uint64_t *in_grace = (uint64_t *)slab->waiting + unit->words, any = 0;

		next = atomic_load(&slab->next_waiting);
		if (next == slab)
			next = NULL;
		/* First out of the list, then the bits: who sets one in between puts the slab into the list again. */
		atomic_store(&slab->next_waiting, NULL);
		for (uint32_t i = 0; i < unit->words; i++) {
			any |= in_grace[i] = atomic_exchange(&slab->waiting[i], 0);
			if (bh_is_hardened(unit->heap->core))
				begin_grace(unit, slab, i, in_grace[i]);
		}
		if (any) {
			*(struct bh_slab **)(in_grace + unit->words) = unit->in_grace;
			unit->in_grace = slab;
		} else {
			bh_slab_remove_if_empty(unit, slab);
		}
	}
	unit->condemned_in_grace = atomic_exchange(&unit->condemned, NULL);
	if (unit->in_grace || unit->condemned_in_grace)
		bh_call_rcu(unit->heap->core, &unit->reclaim_work);
}

/* Objects whose grace period is over go to the depot, or to their slabs if the heap is closed. */
static void return_freed(struct bh_unit *unit, void **objects, uint32_t count)
{
	bh_heap_lock(unit->heap);
	atomic_fetch_sub_explicit(&unit->waiting_count, count, memory_order_relaxed);
	if (bh_unit_closed(unit)) {
		for (uint32_t i = 0; i < count; i++)
			bh_free_closed(unit, objects[i]);
	} else {
		bh_depot_put(&unit->depot, bh_batch_pack(objects, count));
	}
	bh_heap_unlock(unit->heap);
}

void bh_unit_reclaim(struct bh_work *work)
{
	struct bh_unit *unit = (void *)((char *)work - offsetof(struct bh_unit, reclaim_work));
	struct bh_slab *slab, *next;
	void *objects[BH_SLOTS];
	uint32_t count = 0;

	while (unit->in_grace) {
		uint64_t *in_grace;
		bool twice = false;

		slab = unit->in_grace;
		in_grace = (uint64_t *)slab->waiting + unit->words;
		unit->in_grace = *(struct bh_slab **)(in_grace + unit->words);
		for (uint32_t i = 0; i < unit->words; i++) {
			uint64_t bits = in_grace[i];

			/* Cleared before the objects go back: with the last one the slab may be unmapped. */
			in_grace[i] = 0;
			for (; bits; bits &= bits - 1) {
				void *object = bh_slab_object(unit, slab,
							      i * 64 + (uint32_t)__builtin_ctzll(bits));

				if (bh_is_hardened(unit->heap->core) && !end_grace(unit, object)) {
					atomic_fetch_sub(&unit->waiting_count, 1);
					twice = true;
					continue;
				}
				if (count == unit->batch) {
					return_freed(unit, objects, count);
					count = 0;
				}
				objects[count++] = object;
			}
		}
		/* Who freed the last object of a closed heap found this slab waiting. */
		if (twice)
			bh_slab_remove_if_empty(unit, slab);
	}
	if (count)
		return_freed(unit, objects, count);
	for (slab = unit->condemned_in_grace; slab; slab = next) {
		next = slab->next_condemned;
		/* An object was freed twice, and the second time came late: bh_unit_collect takes the slab out
		 * of the list of those that wait, and asks again. */
		if (atomic_load(&slab->next_waiting))
			atomic_store(&slab->live, 0);
		else
			bh_slab_remove(unit, slab);
	}
	unit->condemned_in_grace = NULL;
	/* What was freed meanwhile did not ask for this: see ask_to_collect. */
	if (atomic_load(&unit->waiting) || atomic_load(&unit->condemned))
		bh_queue(unit->heap->core, &unit->collect_work);
}
