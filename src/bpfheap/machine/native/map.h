/*
 * Maps over the allocator (kernel/bpf/hashtab.c, arraymap.c, ringbuf.c of Linux 6.18).
 *
 * Elements of hash maps come from a unit of the map's own and are reused at once, as Linux does it
 * since 6.1: their memory stays an element of this map, chains end in a marker that tells their
 * bucket, and a lookup that ends in another bucket starts over.
 */
#ifndef BPFHEAP_MAP_H
#define BPFHEAP_MAP_H

#include "ring.h"
#include "value.h"

/* NULL without memory. */
struct bh_map *bh_map_create(struct bh_core *core, const struct bh_map_spec *spec);
/* No program sees it any more: drop what its values hold, and give elements of another's heap back. */
void bh_map_empty(struct bh_map *map, struct bh_here *here);
/* And its memory; that of elements goes when the worker comes to it. */
void bh_map_destroy(struct bh_map *map);
/* Programs cannot name it any more; those that run may have done so before. */
void bh_map_forget(struct bh_map *map);

/* The value; of a per-CPU map, that of the first CPU. NULL if there is none. */
void *bh_map_lookup(struct bh_map *map, const void *key);
/* The same for user space, which uses no element of an LRU map by looking at it. */
void *bh_map_peek(struct bh_map *map, const void *key);

/*
 * 0, or a negative errno. `cpu`: the value is that CPU's, and the other ones stay, or are zeros; -1:
 * they are all there, each at a multiple of 8. What the old value holds is dropped.
 */
int bh_map_update(struct bh_map *map, struct bh_here *here, const void *key, const void *value,
		  uint64_t flags, int cpu);
int bh_map_delete(struct bh_map *map, struct bh_here *here, const void *key);
uint32_t bh_map_count(const struct bh_map *map);

enum { BH_LOOK = 64 }; /* buckets of a walk that are a step of a budget */

/* False at the end. */
bool bh_map_walk(struct bh_map *map, struct bh_walk *walk);

#endif
