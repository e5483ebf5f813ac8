#include "batch.h"

#include <stddef.h>

struct free_object *bh_batch_pack(void *const *objects, uint32_t count)
{
	for (uint32_t n = 1; n < count; n++) {
		struct free_object *object = objects[n];

		object->child = 2 * n < count ? objects[2 * n] : NULL;
		object->rest = 2 * n + 1 < count ? (uintptr_t)objects[2 * n + 1] : 0;
	}
	((struct free_object *)objects[0])->child = count > 1 ? objects[1] : NULL;
	bh_batch_link(objects[0], NULL, count);
	return objects[0];
}

uint32_t bh_batch_unpack(struct free_object *batch, void **objects)
{
	uint32_t count = bh_batch_length(batch);

	objects[0] = batch;
	objects[1] = batch->child;
	for (uint32_t n = 1; 2 * n < count; n++) {
		struct free_object *object = objects[n];

		objects[2 * n] = object->child;
		/* One more than there is, if their number is even; there is room. */
		objects[2 * n + 1] = (void *)(uintptr_t)object->rest;
	}
	return count;
}

void bh_batches_push(_Atomic(void *) *list, struct free_object *first, struct free_object *last)
{
	void *head = atomic_load_explicit(list, memory_order_relaxed);

	do
		bh_batch_link(last, head, bh_batch_length(last));
	while (!atomic_compare_exchange_weak_explicit(list, &head, first, memory_order_release,
						      memory_order_relaxed));
}

/*
 * Take all, and give back all but one: nobody looks into a batch that another may have taken, so
 * there is no harm in objects that come and go (ABA).
 */
static struct free_object *pop_batch(_Atomic(void *) *list)
{
	struct free_object *batch, *rest;
	void *nothing = NULL;

	if (!atomic_load_explicit(list, memory_order_relaxed))
		return NULL;
	batch = atomic_exchange_explicit(list, NULL, memory_order_acquire);
	if (!batch)
		return NULL;
	rest = bh_batch_next(batch);
	if (rest && !atomic_compare_exchange_strong_explicit(list, &nothing, rest,
							     memory_order_release,
							     memory_order_relaxed)) {
		struct free_object *last = rest;

		while (bh_batch_next(last))
			last = bh_batch_next(last);
		bh_batches_push(list, rest, last);
	}
	return batch;
}

void bh_depot_put(struct bh_depot *depot, struct free_object *batch)
{
	atomic_fetch_add_explicit(&depot->count, bh_batch_length(batch), memory_order_relaxed);
	bh_batches_push(&depot->batches, batch, batch);
}

struct free_object *bh_depot_take(struct bh_depot *depot)
{
	struct free_object *batch = pop_batch(&depot->batches);

	if (batch)
		atomic_fetch_sub_explicit(&depot->count, bh_batch_length(batch), memory_order_relaxed);
	return batch;
}
