/* Maps that are hashes: chains of elements, with a lock for each. */
#ifndef BPFHEAP_HASH_H
#define BPFHEAP_HASH_H

#include "element.h"

int bh_hash_create(struct bh_map *map);
int bh_hash_update(struct bh_map *map, struct bh_here *here, const void *key, const char *value,
		   uint64_t flags, int cpu);
int bh_hash_delete(struct bh_map *map, struct bh_here *here, const void *key);
bool bh_hash_walk(struct bh_map *map, struct bh_walk *walk);

/* -- of elements, for lru.c */

/* False if the lock cannot be had: a context that may have interrupted its owner gives up soon, as it would
 * wait forever (htab_lock_bucket). */
bool bh_bucket_lock(struct bh_bucket *bucket, struct bh_here *here);
/* Take an element out of its chain, with the bucket's lock; somebody may still look at it. */
void bh_elem_unlink(struct bh_bucket *bucket, struct bh_elem *elem);
/* Drop what it holds, and give its memory back. */
void bh_elem_free(struct bh_map *map, struct bh_here *here, struct bh_elem *elem);

#endif
