/* Batches of free objects, and depots, where they are for whoever comes first. From any context. */
#ifndef BPFHEAP_BATCH_H
#define BPFHEAP_BATCH_H

#include <stdatomic.h>
#include <stdint.h>

enum { BH_SLOTS = 117 }; /* objects in a cache's array, and in a batch at most; a cache is 1 KiB then */

/*
 * A batch is some free objects, numbered from 0. The words of object n > 0 lead to those numbered 2n
 * and 2n + 1, so that whoever collects them need not wait for one cache miss after the other. Those of
 * number 0 lead to number 1, and to the next batch, with how many there are in the upper 16 bits.
 */
struct free_object {
	struct free_object *child;
	uint64_t rest;
};

static inline struct free_object *bh_batch_next(const struct free_object *batch)
{
	return (struct free_object *)(batch->rest & (((uint64_t)1 << 48) - 1));
}

/* How many objects it has. */
static inline uint32_t bh_batch_length(const struct free_object *batch)
{
	return (uint32_t)(batch->rest >> 48);
}

static inline void bh_batch_link(struct free_object *batch, struct free_object *next, uint32_t count)
{
	batch->rest = (uint64_t)(uintptr_t)next | (uint64_t)count << 48;
}

/* Make a batch of 1 to BH_SLOTS free objects. */
struct free_object *bh_batch_pack(void *const *objects, uint32_t count);
/* The objects of a batch; how many. `objects` has room for one more than there are. */
uint32_t bh_batch_unpack(struct free_object *batch, void **objects);
/* Put a chain of batches into a list that others may use at the same time. */
void bh_batches_push(_Atomic(void *) *list, struct free_object *first, struct free_object *last);

/* Batches for whoever comes first. */
struct bh_depot {
	_Atomic(void *) batches;
	_Atomic uint64_t count; /* objects there */
};

void bh_depot_put(struct bh_depot *depot, struct free_object *batch);
/* NULL if it is empty. */
struct free_object *bh_depot_take(struct bh_depot *depot);

#endif
