/* Units: all objects of one type of a heap, in slabs and caches of their own. */
#ifndef BPFHEAP_UNIT_H
#define BPFHEAP_UNIT_H

#include "cache.h"

enum {
	BH_OBJECT_MAX = 1 << 30,
	BH_OBJECT_MIN = 16, /* a free object holds two words */
	BH_UNIT_LIFE = 8,   /* where a unit has what lives under slot 0: see enum bh_life */
};

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
struct bh_stats bh_unit_stats(struct bh_unit *unit);

/* What objects live under that a slot's context alone frees without a grace period: enum bh_life. */
static inline uint32_t bh_unit_life(const struct bh_unit *unit, uint32_t slot)
{
	return *(const uint32_t *)((const char *)unit + BH_UNIT_LIFE) + slot;
}

/* The same for those that any context does. */
uint32_t bh_unit_shared_life(const struct bh_unit *unit);
/* All objects that are allocated from here on are such. */
void bh_unit_share(struct bh_unit *unit);

/* -- for the files of the heap */

/* Let all that allocates or frees take the slow path, where it finds the heap closed; with the lock. */
void bh_unit_shut(struct bh_unit *unit);
/* Unmap its slabs. Nobody may use its objects any more. */
void bh_unit_unmap(struct bh_unit *unit);
/* And the rest, a grace period later: a program of a hardened core may have named what was in them. */
void bh_unit_destroy(struct bh_unit *unit);

#endif
