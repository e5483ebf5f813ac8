/*
 * Slabs, to which the addresses of objects lead, and so to their units. What units and heaps are made of, and
 * how slabs come and go, is in slab_private.h.
 */
#ifndef BPFHEAP_SLAB_H
#define BPFHEAP_SLAB_H

#include <stdatomic.h>
#include <stdint.h>

enum { BH_SLAB = 1 << 16 }; /* bytes, and the alignment of a slab */

struct bh_heap;
struct bh_unit;

/* Of a heap. */
struct bh_limits {
	uint64_t objects; /* live at a time; 0 for any number */
	uint64_t bytes;	  /* of slabs; 0 for any number */
};

/* What is at the beginning of a slab, of which the size is a multiple of BH_SLAB. */
struct bh_slab {
	struct bh_unit *_Atomic unit;
	uint64_t number;	  /* in the unit's table */
	_Atomic uint32_t carved;  /* objects that were given out at least once; may count more */
	_Atomic int32_t live;	  /* once the heap is closed */
	_Atomic(struct bh_slab *) next_waiting;
	struct bh_slab *next_condemned;
	_Atomic uint64_t waiting[]; /* bits of objects that wait for a grace period */
};

static inline struct bh_slab *bh_slab_of(const void *object)
{
	return (struct bh_slab *)((uintptr_t)object & ~(uintptr_t)(BH_SLAB - 1));
}

/* NULL where a slab was once: programs of a hardened core may name an object that is long gone. */
static inline struct bh_unit *bh_unit_of(const void *object)
{
	return atomic_load_explicit(&bh_slab_of(object)->unit, memory_order_relaxed);
}

#endif
