/* Elements of hashes, their chains, and lookups, which are inlined into bh_map_lookup. */
#ifndef BPFHEAP_ELEMENT_H
#define BPFHEAP_ELEMENT_H

#include "value.h"

/*
 * The first two words are the allocator's while the element is free: a lookup that is still there
 * needs `next`, and what it compares is the key.
 *
 * On a hardened core all this is in the shadow, where no program changes it, and a copy of the key lies
 * before the value. Compiled lookups compare that one, which comes with the value's cache line. A program that
 * writes over it chooses which element of this map they find, and no more: what they found it by, and where its
 * value is, they have from here. Whoever changes a chain goes by the keys here.
 */
struct bh_elem {
	uint32_t hash;
	uint32_t place;	       /* in the queue of an LRU map */
	_Atomic uint32_t seen; /* there: looked up meanwhile */
	uint32_t unused;
	_Atomic(struct bh_elem *) next;
	char key[];
};

/* Of hashes of keys. */
#define BH_HASH_WORD 0x9e3779b97f4a7c15u
#define BH_HASH_LAST 0xd6e8feb86659fd93u

struct bh_bucket {
	_Atomic(struct bh_elem *) first;
	uint32_t lock;
};

/* The first value of an element of a hash. */
static inline char *bh_elem_value(const struct bh_map *map, struct bh_elem *elem)
{
	return (char *)elem + map->value_at;
}

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
