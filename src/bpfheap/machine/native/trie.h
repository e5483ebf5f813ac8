/* Tries of prefixes: see value.h. */
#ifndef BPFHEAP_TRIE_H
#define BPFHEAP_TRIE_H

#include "value.h"

int bh_trie_create(struct bh_map *map);
/* The value of the longest prefix of a key. */
void *bh_trie_lookup(struct bh_map *map, const void *key);
int bh_trie_update(struct bh_map *map, struct bh_here *here, const void *key, const char *value,
		   uint64_t flags, int cpu);
int bh_trie_delete(struct bh_map *map, struct bh_here *here, const void *key);

#endif
