/*
 * Software fault isolation (Wahbe et al., 1993; the arenas of Linux 6.9; KFlex): what programs of a
 * hardened core can reach lies in one region of 4 GiB, aligned to its size. Of an address only the lower
 * 32 bits count, so whatever a program makes up leads into the region, or into the guard around it.
 *
 * What the core itself relies on lies elsewhere. What it keeps of a piece of the region (a slab's header,
 * links of free objects, headers and keys of elements) is BH_SHADOW above that, where no address of a
 * program leads. What is read out of the region was written by a program, and is checked.
 *
 * What was opened once stays open: its memory is given back, but an access never faults that was checked.
 */
#ifndef BPFHEAP_REGION_H
#define BPFHEAP_REGION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	BH_GRANULE = 1 << 16,
	BH_GRANULES = 1 << 16,
	BH_HANDLES = 1 << 14, /* a power of 2; half of them may be taken */
};

#define BH_REGION ((uint64_t)1 << 32)
#define BH_SHADOW ((uint64_t)1 << 33)
/* Behind the shadow: see bh_region.life. */
#define BH_LIFE (BH_SHADOW + BH_REGION)
/* On either side: distances that are added to what a mask gives have 32 bits and a sign, and offsets of
 * instructions 16. */
#define BH_GUARD ((uint64_t)1 << 32)

/* What a granule is; programs may read those that are not closed, and write those above BH_ZEROS. */
enum bh_granule {
	BH_CLOSED,
	BH_ZEROS, /* the first: what a load through NULL finds */
	BH_VACANT,
	BH_TAKEN,
	BH_SLABS, /* taken, with slabs in the shadow */
};

/*
 * What begins at an address. Any context may name any object, and it may be freed once, by one of them. An
 * atomic instruction for that would cost as much as all else of a free, so the context that allocated an object
 * frees it by plain loads and stores, and others apart from it: they say so, and what is then true is found
 * after a grace period, when whoever was about to free it has done so. A unit of which one object was freed
 * apart is shared from then on: its new objects are claimed by an atomic instruction, and wait for nothing.
 */
enum bh_life {
	BH_NOTHING,
	BH_DEAD,	   /* freed, and waits for a grace period: programs that run may look at its count */
	BH_FREE,	   /* the allocator's */
	BH_APART,	   /* freed by another context than that which allocated it */
	BH_APART_IN_GRACE, /* and the grace period has begun */
	BH_LIVE,	   /* and up: an object; a number for each unit and slot, and one for its shared objects */
};

struct bh_region {
	char *base; /* NULL: the core is not hardened */
	uint64_t shadow; /* BH_SHADOW, or 0: all is where it is */
	uint8_t *granule; /* enum bh_granule */
	_Atomic uint32_t *life; /* of every 8 bytes, what begins there: enum bh_life */
	_Atomic uintptr_t *handle; /* a set: what programs may name by its address */
	_Atomic uint32_t lives; /* numbers from BH_LIVE on that are taken */
	uint32_t handles;
	uint32_t next; /* granule to look at first */
	pthread_mutex_t lock; /* of granules and handles; not taken above level 0 */
	void *reserved;
	size_t reserved_bytes;
};

/* False with errno set. */
bool bh_region_create(struct bh_region *region);
void bh_region_destroy(struct bh_region *region);
/* Zeros for programs, and in their shadow; the address there. NULL with errno set. */
void *bh_region_take(struct bh_region *region, size_t size, enum bh_granule kind);
void bh_region_give(struct bh_region *region, void *shadow, size_t size);

/* The first of `slots` numbers for objects that live: see enum bh_life. 0 if there are no more. */
uint32_t bh_region_lives(struct bh_region *region, uint32_t slots);

/* Where `size` bytes that a program names are, if it may write (read) them all; else NULL. */
static inline char *bh_region_at(const struct bh_region *region, uint64_t address, uint64_t size,
				 enum bh_granule least)
{
	uint64_t at = (uint32_t)address, last = at + size - !!size;

	if (size > BH_REGION - at)
		return NULL;
	for (uint64_t n = at / BH_GRANULE; n <= last / BH_GRANULE; n++)
		if (region->granule[n] < least)
			return NULL;
	return region->base + at;
}

/* Of an address in the region or its shadow: what begins there. */
static inline _Atomic uint32_t *bh_region_life(const struct bh_region *region, const void *object)
{
	return &region->life[(uint32_t)(uintptr_t)object >> 3];
}

/* Let programs name something, or no more. False if there are too many. */
bool bh_handle_add(struct bh_region *region, const void *what);
void bh_handle_remove(struct bh_region *region, const void *what);
bool bh_handle_known(const struct bh_region *region, uint64_t what);

#endif
