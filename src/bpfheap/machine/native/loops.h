/* The loops that benches time: the same for our heap and for others' malloc. */
#ifndef BPFHEAP_LOOPS_H
#define BPFHEAP_LOOPS_H

#include "heap.h"

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

#endif
