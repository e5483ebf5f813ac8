/* Maps that are arrays: a key is an index. */
#ifndef BPFHEAP_ARRAY_H
#define BPFHEAP_ARRAY_H

#include "value.h"

/* The value of all CPUs at an index; NULL if that is too large. */
char *bh_array_element(const struct bh_map *map, const void *key);
int bh_array_create(struct bh_map *map);
int bh_array_update(struct bh_map *map, struct bh_here *here, const void *key, const char *value,
		    uint64_t flags, int cpu);
bool bh_array_walk(struct bh_map *map, struct bh_walk *walk);

#endif
