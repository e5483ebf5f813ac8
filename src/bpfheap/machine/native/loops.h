/* The loops that benches time: the same for our heap and for others' malloc. */
#ifndef BPFHEAP_LOOPS_H
#define BPFHEAP_LOOPS_H

#include "map.h"

/* Who allocates. */
enum bh_side {
	BH_CACHE,      /* our heap; the cache is known, as to compiled programs */
	BH_TOLD,       /* frees are told the unit, and have to find the cache */
	BH_BY_POINTER, /* frees have the pointer alone */
	BH_UNCOUNTED,  /* our fast path with a pointer to the top instead of a count */
	BH_PEER,       /* somebody's malloc and free */
};

struct bh_loop {
	enum bh_side side;
	struct bh_core *core;
	struct bh_unit *unit;
	void *(*malloc)(size_t);
	void (*free)(void *);
	uint32_t size;
	uint64_t rounds;
};

/* Nanoseconds for all rounds; 0 if there is no memory. Not within a run. */
uint64_t bh_loop_pairs(const struct bh_loop *loop);
/* Each round: 10,000 objects, freed in random order. */
uint64_t bh_loop_batch(const struct bh_loop *loop);
/* `rounds` objects go from one thread to another, which frees them. */
uint64_t bh_loop_pass_on(const struct bh_loop *loop);
/* Pairs of `threads` threads, each of them `rounds`. */
uint64_t bh_loop_threads(const struct bh_loop *loop, unsigned threads);
/* Pairs while `live` other objects live. */
uint64_t bh_loop_among(const struct bh_loop *loop, uint64_t live);


/* Bytes of this process that are resident, and that heaps have mapped: before, with `live` objects, and
 * after these are freed and the heap is gone. False without memory. */
struct bh_footprint {
	int64_t before, with, after;
	int64_t mapped;
};
bool bh_loop_footprint(struct bh_core *core, uint32_t size, uint64_t live,
		       struct bh_footprint *found);

enum bh_map_loop {
	BH_UPDATE_DELETE, /* a round updates and deletes one key of 1,024 */
	BH_LOOKUP,	  /* a round looks up one of 1,024 keys that are there */
	BH_FILL_DELETE,	  /* a round updates 1,000 keys, then deletes them */
};
uint64_t bh_loop_map(struct bh_core *core, struct bh_map *map, enum bh_map_loop what,
		     uint64_t rounds);

#endif
