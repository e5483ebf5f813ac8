#include "hash.h"
#include "lru_queue.h"

#include <errno.h>

/* How often a nested context tries for a bucket's lock. It cannot wait: the holder may be whom it has
 * interrupted. */
enum { TRIES = 16 };
/* Chain, on a hardened core. */
enum { LONGEST = 256 };

bool bh_bucket_lock(struct bh_bucket *bucket, struct bh_here *here)
{
	if (BH_LIKELY(bh_try_lock(&bucket->lock)))
		return true;
	if (!here->level)
		return bh_lock(here, &bucket->lock);
	for (unsigned tries = 0; tries < TRIES; tries++)
		if (bh_try_lock(&bucket->lock))
			return true;
	return false;
}

void bh_elem_unlink(struct bh_bucket *bucket, struct bh_elem *elem)
{
	_Atomic(struct bh_elem *) *at = &bucket->first;
	struct bh_elem *other;

	while ((other = atomic_load_explicit(at, memory_order_relaxed)) != elem)
		at = &other->next;
	atomic_store_explicit(at, atomic_load_explicit(&elem->next, memory_order_relaxed),
			      memory_order_release);
}

static void push_elem(struct bh_bucket *bucket, struct bh_elem *elem)
{
	atomic_store_explicit(&elem->next,
			      atomic_load_explicit(&bucket->first, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_store_explicit(&bucket->first, elem, memory_order_release);
}

void bh_elem_free(struct bh_map *map, struct bh_here *here, struct bh_elem *elem)
{
	bh_map_drop_fields(map, here, bh_elem_value(map, elem));
	if (!map->spec.waits) {
		bh_free(bh_cache_of(map->unit, here->slot), elem);
		return;
	}
	if (bh_is_hardened(map->core))
		atomic_store(bh_region_life(bh_region_of(map->core), elem), BH_DEAD);
	bh_free_rcu(elem);
}

RACY static void fill_elem(struct bh_map *map, struct bh_here *here, struct bh_elem *elem,
			   uint32_t hash, const void *key, const char *value, int cpu)
{
	char *to = bh_elem_value(map, elem);

	elem->hash = hash;
	bh_map_copy_bytes(elem->key, key, map->kept);
	/* Callbacks are shown a copy, and compiled lookups compare it. */
	if (bh_is_hardened(map->core))
		bh_map_copy_bytes(elem->key - bh_shadow(map->core), key, map->kept);
	/*
	 * The memory of an element is used again at once. A program that looked its last element up before
	 * that was deleted may have put an object into it afterwards.
	 */
	bh_map_drop_fields(map, here, to);
	if (map->spec.type && map->spec.type->lock >= 0)
		memset(to + map->spec.type->lock, 0, 4);
	if (!map->spec.per_cpu) {
		bh_map_copy_value(map, to, value);
		return;
	}
	for (uint32_t i = 0; i < bh_map_copies(map); i++) {
		char *copy = to + (size_t)i * map->stride;

		if (cpu < 0)
			bh_map_copy_value(map, copy, value + (size_t)i * map->stride);
		else if (i == (uint32_t)cpu)
			bh_map_copy_value(map, copy, value);
		else
			for (uint32_t s = 0; s < map->spans; s++)
				memset(copy + map->span[s].offset, 0, map->span[s].size);
	}
}

/* Programs of a hardened core could look for keys that meet in one bucket, and every look-up would take long.
 * Others meet their like a few times. */
static bool is_too_long(const struct bh_map *map, const struct bh_bucket *bucket)
{
	unsigned count = 0;

	if (!bh_is_hardened(map->core))
		return false;
	for (struct bh_elem *elem = atomic_load_explicit(&bucket->first, memory_order_relaxed);
	     !is_marker(elem); elem = atomic_load_explicit(&elem->next, memory_order_relaxed))
		count++;
	return count >= LONGEST;
}

static bool reserve_count(struct bh_map *map)
{
	if (atomic_fetch_add_explicit(&map->count, 1, memory_order_relaxed) < map->spec.max_entries)
		return true;
	atomic_fetch_sub_explicit(&map->count, 1, memory_order_relaxed);
	return false;
}

int bh_hash_update(struct bh_map *map, struct bh_here *here, const void *key,
		       const char *value, uint64_t flags, int cpu)
{
	uint32_t hash = bh_hash_of(map, key);
	struct bh_bucket *bucket = bh_bucket_of(map, hash);
	struct bh_elem *old, *elem;
	int error = 0;

	if (!bh_bucket_lock(bucket, here))
		return -EBUSY;
	old = bh_hash_find(map, hash, key);
	if (old ? flags == BH_NOEXIST : flags == BH_EXIST) {
		error = old ? -EEXIST : -ENOENT;
	} else if (old && flags & BH_F_LOCK) {
		error = bh_map_copy_locked(map, here, bh_elem_value(map, old), value);
	} else if (old && map->spec.per_cpu) {
		bh_map_overwrite(map, here, bh_elem_value(map, old), value, cpu);
		atomic_store_explicit(&old->seen, 1, memory_order_relaxed);
	} else if (!old && is_too_long(map, bucket)) {
		error = -ENOMEM;
	} else if (!old && !reserve_count(map)) {
		error = -E2BIG;
	} else {
		elem = bh_alloc(bh_cache_of(map->unit, here->slot));
		if (!elem) {
			if (!old)
				atomic_fetch_sub_explicit(&map->count, 1, memory_order_relaxed);
			error = -ENOMEM;
		} else {
			fill_elem(map, here, elem, hash, key, value, cpu);
			if (map->queue)
				bh_lru_queue_up(map, elem, old);
			push_elem(bucket, elem);
			if (old) {
				bh_elem_unlink(bucket, old);
				bh_unlock(&bucket->lock);
				bh_elem_free(map, here, old);
				return 0;
			}
		}
	}
	bh_unlock(&bucket->lock);
	return error;
}

int bh_hash_delete(struct bh_map *map, struct bh_here *here, const void *key)
{
	uint32_t hash = bh_hash_of(map, key);
	struct bh_bucket *bucket = bh_bucket_of(map, hash);
	struct bh_elem *old;

	if (!bh_bucket_lock(bucket, here))
		return -EBUSY;
	old = bh_hash_find(map, hash, key);
	if (old)
		bh_elem_unlink(bucket, old);
	bh_unlock(&bucket->lock);
	if (!old)
		return -ENOENT;
	if (map->queue)
		bh_lru_vacate(map->queue, old->place);
	bh_elem_free(map, here, old);
	atomic_fetch_sub_explicit(&map->count, 1, memory_order_relaxed);
	return 0;
}

/* How many elements of a chain come after `elem`, -1 if it is not in there; all of them for NULL. */
static int64_t elements_behind(struct bh_elem *chain, struct bh_elem *elem)
{
	int64_t count = elem ? -1 : 0;

	for (; !is_marker(chain); chain = atomic_load_explicit(&chain->next, memory_order_acquire)) {
		if (chain == elem)
			count = 0;
		else if (count >= 0)
			count++;
	}
	return count;
}

bool bh_hash_walk(struct bh_map *map, struct bh_walk *walk)
{
	struct bh_bucket *buckets = (struct bh_bucket *)map->memory;
	struct bh_elem *elem = walk->next;

	if (elem) {
		struct bh_elem *first =
			atomic_load_explicit(&buckets[walk->bucket].first, memory_order_acquire);

		/*
		 * It may have been deleted since. New elements come to the front of a chain, so what is
		 * left to visit are its last `behind` elements.
		 */
		if (elements_behind(first, elem) != walk->behind) {
			int64_t skip = elements_behind(first, NULL) - walk->behind;

			/* They become fewer while others delete. */
			for (elem = first; skip > 0 && !is_marker(elem); skip--)
				elem = atomic_load_explicit(&elem->next, memory_order_acquire);
		}
		if (is_marker(elem)) {
			elem = NULL;
			walk->bucket++;
		}
	}
	while (!elem) {
		if (walk->bucket > map->mask)
			return false;
		elem = atomic_load_explicit(&buckets[walk->bucket].first, memory_order_acquire);
		if (is_marker(elem)) {
			elem = NULL;
			walk->bucket++;
		}
	}
	walk->key = elem->key + (map->kept - map->spec.key_size) - bh_shadow(map->core);
	walk->value = bh_elem_value(map, elem);
	walk->next = atomic_load_explicit(&elem->next, memory_order_acquire);
	walk->behind = 0;
	if (is_marker(walk->next)) {
		walk->next = NULL;
		walk->bucket++;
	} else {
		walk->behind = (uint32_t)elements_behind(walk->next, walk->next);
	}
	return true;
}

int bh_hash_create(struct bh_map *map)
{
	uint64_t buckets = 1;
	size_t size;

	while (buckets < map->spec.max_entries)
		buckets *= 2;
	map->mask = (uint32_t)(buckets - 1);
	map->bytes = buckets * sizeof(struct bh_bucket);
	map->memory = bh_pages_map(map->core, map->bytes, 4096);
	if (!map->memory)
		return -ENOMEM;
	for (uint64_t i = 0; i < buckets; i++)
		atomic_init(&((struct bh_bucket *)map->memory)[i].first, bucket_marker((uint32_t)i));
	map->plain_words = map->spec.shape == BH_HASH && map->spec.key_size == 4 &&
			   !map->spec.pointers;
	map->seed = mix((uintptr_t)map, 0xa0761d6478bd642fu);
	map->kept = map->spec.key_size * (map->spec.shape == BH_TRIE ? 2 : 1);
	map->value_at = (int64_t)sizeof(struct bh_elem) + ((map->kept + 7) & ~7u);
	size = (size_t)map->value_at + (size_t)map->stride * bh_map_copies(map);
	if (!map->spec.pointers)
		map->value_at -= (int64_t)bh_shadow(map->core);
	map->heap = map->spec.heap;
	if (!map->heap)
		map->heap = bh_heap_create(map->core, (struct bh_limits){ 0, 0 });
	if (!map->heap || size > BH_OBJECT_MAX)
		return -ENOMEM;
	map->unit = bh_unit_create(map->heap, (uint32_t)size, map);
	if (!map->unit)
		return -ENOMEM;
	if (map->spec.shape == BH_LRU) {
		map->queue = bh_lru_create_queue(map->spec.max_entries);
		if (!map->queue)
			return -ENOMEM;
	}
	if (map->spec.preallocated && !bh_unit_reserve(map->unit, map->spec.max_entries))
		return -ENOMEM;
	return 0;
}
