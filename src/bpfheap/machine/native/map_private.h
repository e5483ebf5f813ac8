/* What the files of maps share: values here, arrays in array.c, hashes in hash.c and lru.c, rings in ring.c. */
#ifndef BPFHEAP_MAP_PRIVATE_H
#define BPFHEAP_MAP_PRIVATE_H

#include <errno.h>
#include <string.h>

#include "map.h"

/* Programs read and write values while others do: what they see then is their own affair. */
#define RACY __attribute__((no_sanitize("thread")))

/* How many values an element has: one, or one for each CPU. */
static inline uint32_t bh_map_copies(const struct bh_map *map)
{
	return map->spec.per_cpu ? bh_core_cpus(map->core) : 1;
}

/* The first value of an element of a hash. */
static inline char *bh_elem_value(const struct bh_map *map, struct bh_elem *elem)
{
	return (char *)elem + map->value_at;
}

/* The word of a value's bpf_spin_lock, NULL if it has none. */
static inline char *bh_map_value_lock(const struct bh_map *map, char *value)
{
	return map->spec.type && map->spec.type->lock >= 0 ? value + map->spec.type->lock : NULL;
}

RACY static inline void bh_map_copy_bytes(char *to, const char *from, uint32_t size)
{
	for (; size >= 8; size -= 8, to += 8, from += 8)
		memcpy(to, from, 8);
	for (; size; size--)
		*to++ = *from++;
}

/* One value, but for kptrs, locks and nodes, which stay. */
static inline void bh_map_copy_value(const struct bh_map *map, char *to, const char *from)
{
	for (uint32_t i = 0; i < map->spans; i++)
		bh_map_copy_bytes(to + map->span[i].offset, from + map->span[i].offset, map->span[i].size);
}

/* Drop what an element's values hold. */
static inline void bh_map_drop_fields(struct bh_map *map, struct bh_here *here, char *value)
{
	const struct bh_type *type = map->spec.type;

	if (type)
		for (uint32_t cpu = 0; cpu < bh_map_copies(map); cpu++)
			bh_drop_fields(here, type, value + (size_t)cpu * map->stride);
}

/* -- values: map.c */

/* bh_map_copy_value with the value's lock held: 0, or -EBUSY if a patience that ended came first. */
int bh_map_copy_locked(const struct bh_map *map, struct bh_here *here, char *to, const char *from);
/* Change a value where it is: that of one CPU, or all for -1. What it held is dropped. */
void bh_map_overwrite(struct bh_map *map, struct bh_here *here, char *value, const char *from, int cpu);

/*
 * -- shapes
 *
 * Each is what bh_map_* of the same name does for maps of the shape; map.c has checked the flags. `create`
 * is called once, by bh_map_create, when `spec`, `stride` and `span` are set: 0, or a negative errno.
 */

/* The value of all CPUs at an index; NULL if that is too large. */
char *bh_array_element(const struct bh_map *map, const void *key);
int bh_array_create(struct bh_map *map);
int bh_array_update(struct bh_map *map, struct bh_here *here, const void *key, const char *value,
		    uint64_t flags, int cpu);
bool bh_array_walk(struct bh_map *map, struct bh_walk *walk);

int bh_hash_create(struct bh_map *map);
int bh_hash_update(struct bh_map *map, struct bh_here *here, const void *key, const char *value,
		   uint64_t flags, int cpu);
int bh_hash_delete(struct bh_map *map, struct bh_here *here, const void *key);
bool bh_hash_walk(struct bh_map *map, struct bh_walk *walk);

/* An LRU map is a hash map with a queue of its elements. All changes have the queue's lock, and take that
 * of a bucket within it. */
struct bh_queue *bh_lru_create_queue(uint32_t entries);
int bh_lru_update(struct bh_map *map, struct bh_here *here, const void *key, const char *value,
		  uint64_t flags, int cpu);
int bh_lru_delete(struct bh_map *map, struct bh_here *here, const void *key);
/* For hash.c, with the queue's lock: a new element queues up, in the place of the one that it replaces;
 * one that was deleted gives its place up. */
void bh_lru_queue_up(struct bh_map *map, struct bh_elem *elem, const struct bh_elem *old);
void bh_lru_vacate(struct bh_queue *queue, uint32_t at);

int bh_ring_create(struct bh_map *map);

/* -- elements of hashes, for lru.c: hash.c */

/* False if the lock cannot be had: a context that may have interrupted its owner gives up soon, as it would
 * wait forever (htab_lock_bucket). */
bool bh_bucket_lock(struct bh_bucket *bucket, struct bh_here *here);
/* Take an element out of its chain, with the bucket's lock; somebody may still look at it. */
void bh_elem_unlink(struct bh_bucket *bucket, struct bh_elem *elem);
/* Drop what it holds, and give its memory back. */
void bh_elem_free(struct bh_map *map, struct bh_here *here, struct bh_elem *elem);

/* -- lookups in hashes, which are inlined into bh_map_lookup */

static inline struct bh_bucket *bh_bucket_of(const struct bh_map *map, uint32_t hash)
{
	return (struct bh_bucket *)map->memory + (hash & map->mask);
}

/*
 * Ends the chain of a bucket instead of NULL, and says which bucket it is (as hlist_nulls of Linux). An
 * element may be freed, and be used again in another bucket, while a lookup is at it: the lookup then ends
 * at another bucket's marker, and begins anew.
 */
static inline struct bh_elem *bucket_marker(uint32_t bucket)
{
	return (struct bh_elem *)((uintptr_t)bucket << 1 | 1);
}

static inline bool is_marker(const struct bh_elem *elem)
{
	return (uintptr_t)elem & 1;
}

static inline uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Of 4 bytes, as most keys are. */
static inline uint32_t bh_hash_of_word(const struct bh_map *map, uint32_t key)
{
	return (uint32_t)(((map->seed ^ key) * BH_HASH_WORD) >> 32);
}

static inline uint32_t bh_hash_of(const struct bh_map *map, const void *key)
{
	uint32_t size = map->spec.key_size;
	uint64_t h = map->seed ^ size, word = 0;
	const char *at = key;

	if (size == 4) {
		memcpy(&word, key, 4);
		return bh_hash_of_word(map, (uint32_t)word);
	}
	for (; size > 8; size -= 8, at += 8) {
		memcpy(&word, at, 8);
		h = mix(h ^ word, BH_HASH_WORD);
	}
	word = 0;
	memcpy(&word, at, size);
	return (uint32_t)mix(h ^ word, BH_HASH_LAST);
}

RACY static inline bool same_key(const struct bh_map *map, const struct bh_elem *elem, const void *key)
{
	uint32_t size = map->spec.key_size;
	const char *a = elem->key, *b = key;
	uint64_t x = 0, y = 0;

	for (; size >= 8; size -= 8, a += 8, b += 8) {
		memcpy(&x, a, 8);
		memcpy(&y, b, 8);
		if (x != y)
			return false;
	}
	for (; size; size--)
		if (*a++ != *b++)
			return false;
	return true;
}

/* The key of an element that somebody may free, and fill again, meanwhile. */
RACY static inline bool has_word(const struct bh_elem *elem, uint32_t key)
{
	return *(const uint32_t *)elem->key == key;
}

RACY static inline bool has_key(const struct bh_map *map, const struct bh_elem *elem, uint32_t hash,
			 const void *key)
{
	return elem->hash == hash && same_key(map, elem, key);
}

static inline struct bh_elem *bh_hash_find_word(const struct bh_map *map, uint32_t hash, uint32_t key)
{
	struct bh_bucket *bucket = bh_bucket_of(map, hash);
	struct bh_elem *elem;

	for (;;) {
		elem = atomic_load_explicit(&bucket->first, memory_order_acquire);
		while (!is_marker(elem)) {
			if (has_word(elem, key))
				return elem;
			elem = atomic_load_explicit(&elem->next, memory_order_acquire);
		}
		if (BH_LIKELY(elem == bucket_marker(hash & map->mask)))
			return NULL;
	}
}

static inline struct bh_elem *bh_hash_find(const struct bh_map *map, uint32_t hash, const void *key)
{
	struct bh_bucket *bucket = bh_bucket_of(map, hash);
	struct bh_elem *elem;

	for (;;) {
		elem = atomic_load_explicit(&bucket->first, memory_order_acquire);
		while (!is_marker(elem)) {
			if (has_key(map, elem, hash, key))
				return elem;
			elem = atomic_load_explicit(&elem->next, memory_order_acquire);
		}
		if (BH_LIKELY(elem == bucket_marker(hash & map->mask)))
			return NULL;
	}
}

#endif
