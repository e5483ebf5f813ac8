/* LRU maps: a hash map each, with a queue of its elements (lru_queue.h). */
#ifndef BPFHEAP_LRU_H
#define BPFHEAP_LRU_H

#include "value.h"

int bh_lru_update(struct bh_map *map, struct bh_here *here, const void *key, const char *value,
		  uint64_t flags, int cpu);
int bh_lru_delete(struct bh_map *map, struct bh_here *here, const void *key);

#endif
