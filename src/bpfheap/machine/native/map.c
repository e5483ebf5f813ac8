#define _GNU_SOURCE
#include "map.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* Programs read and write values while others do: what they see then is their own affair. */
#define RACY __attribute__((no_sanitize("thread")))

enum {
	TRIES = 16, /* of a nested context for a bucket's lock, which it may have interrupted */
	MAX_ENTRIES = 1u << 30,
};

static uint32_t cpus_of(const struct bh_map *map)
{
	return map->spec.per_cpu ? bh_core_cpus(map->core) : 1;
}

/* -- values */

static int find_spans(struct bh_map *map)
{
	const struct bh_type *type = map->spec.type;
	uint32_t fields = type ? type->fields : 0, at = 0;

	map->span = calloc(fields + 1, sizeof(*map->span));
	if (!map->span)
		return -ENOMEM;
	for (uint32_t i = 0; i <= fields; i++) {
		uint32_t end = i < fields ? type->field[i].offset : map->spec.value_size;

		if (end > at)
			map->span[map->spans++] = (struct bh_span){ at, end - at };
		if (i < fields)
			at = end + type->field[i].size;
	}
	return 0;
}

RACY static void copy_bytes(char *to, const char *from, uint32_t size)
{
	for (; size >= 8; size -= 8, to += 8, from += 8)
		memcpy(to, from, 8);
	for (; size; size--)
		*to++ = *from++;
}

static void copy_value(const struct bh_map *map, char *to, const char *from)
{
	for (uint32_t i = 0; i < map->spans; i++)
		copy_bytes(to + map->span[i].offset, from + map->span[i].offset, map->span[i].size);
}

static char *lock_of(const struct bh_map *map, char *value)
{
	return map->spec.type && map->spec.type->lock >= 0 ? value + map->spec.type->lock : NULL;
}

/* 0, or -EBUSY if the lock could not be had. */
static int copy_locked(const struct bh_map *map, struct bh_here *here, char *to, const char *from)
{
	char *lock = lock_of(map, to);

	if (!bh_lock(here, lock))
		return -EBUSY;
	copy_value(map, to, from);
	bh_unlock(lock);
	return 0;
}

static void drop_fields(struct bh_map *map, struct bh_here *here, char *value)
{
	const struct bh_type *type = map->spec.type;

	if (type)
		for (uint32_t cpu = 0; cpu < cpus_of(map); cpu++)
			bh_drop_fields(here, type, value + (size_t)cpu * map->stride);
}

/* Change a value where it is: one CPU's or all. */
static void overwrite(struct bh_map *map, struct bh_here *here, char *value, const char *from,
		      int cpu)
{
	for (uint32_t i = 0; i < cpus_of(map); i++) {
		char *to = value + (size_t)i * map->stride;

		if (map->spec.per_cpu && cpu >= 0 && i != (uint32_t)cpu)
			continue;
		copy_value(map, to, from + (cpu < 0 ? (size_t)i * map->stride : 0));
		if (map->spec.type)
			bh_drop_fields(here, map->spec.type, to);
	}
}

/* -- hash maps */

static struct bh_bucket *bucket_of(const struct bh_map *map, uint32_t hash)
{
	return (struct bh_bucket *)map->memory + (hash & map->mask);
}

static struct bh_elem *marker(uint32_t bucket)
{
	return (struct bh_elem *)((uintptr_t)bucket << 1 | 1);
}

static bool is_marker(const struct bh_elem *elem)
{
	return (uintptr_t)elem & 1;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Of 4 bytes, as most keys are. */
static uint32_t hash_of_word(const struct bh_map *map, uint32_t key)
{
	return (uint32_t)(((map->seed ^ key) * BH_HASH_WORD) >> 32);
}

static uint32_t hash_of(const struct bh_map *map, const void *key)
{
	uint32_t size = map->spec.key_size;
	uint64_t h = map->seed ^ size, word = 0;
	const char *at = key;

	if (size == 4) {
		memcpy(&word, key, 4);
		return hash_of_word(map, (uint32_t)word);
	}
	for (; size > 8; size -= 8, at += 8) {
		memcpy(&word, at, 8);
		h = mix(h ^ word, BH_HASH_WORD);
	}
	word = 0;
	memcpy(&word, at, size);
	return (uint32_t)mix(h ^ word, BH_HASH_LAST);
}

RACY static bool same_key(const struct bh_map *map, const struct bh_elem *elem, const void *key)
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
RACY static bool has_word(const struct bh_elem *elem, uint32_t key)
{
	return *(const uint32_t *)elem->key == key;
}

RACY static bool has_key(const struct bh_map *map, const struct bh_elem *elem, uint32_t hash,
			 const void *key)
{
	return elem->hash == hash && same_key(map, elem, key);
}

static struct bh_elem *find_word(const struct bh_map *map, uint32_t hash, uint32_t key)
{
	struct bh_bucket *bucket = bucket_of(map, hash);
	struct bh_elem *elem;

	for (;;) {
		elem = atomic_load_explicit(&bucket->first, memory_order_acquire);
		while (!is_marker(elem)) {
			if (has_word(elem, key))
				return elem;
			elem = atomic_load_explicit(&elem->next, memory_order_acquire);
		}
		if (BH_LIKELY(elem == marker(hash & map->mask)))
			return NULL;
	}
}

static struct bh_elem *find(const struct bh_map *map, uint32_t hash, const void *key)
{
	struct bh_bucket *bucket = bucket_of(map, hash);
	struct bh_elem *elem;

	for (;;) {
		elem = atomic_load_explicit(&bucket->first, memory_order_acquire);
		while (!is_marker(elem)) {
			if (has_key(map, elem, hash, key))
				return elem;
			elem = atomic_load_explicit(&elem->next, memory_order_acquire);
		}
		if (BH_LIKELY(elem == marker(hash & map->mask)))
			return NULL;
	}
}

static char *value_of(const struct bh_map *map, struct bh_elem *elem)
{
	return (char *)elem + map->value_at;
}

/* A context that interrupted the owner would wait forever (htab_lock_bucket). */
static bool lock_bucket(struct bh_bucket *bucket, struct bh_here *here)
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

static void unlink_elem(struct bh_bucket *bucket, struct bh_elem *elem)
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

static void free_elem(struct bh_map *map, struct bh_here *here, struct bh_elem *elem)
{
	drop_fields(map, here, value_of(map, elem));
	bh_free(bh_cache_of(map->unit, here->slot), elem);
}

RACY static void fill_elem(struct bh_map *map, struct bh_here *here, struct bh_elem *elem,
			   uint32_t hash, const void *key, const char *value, int cpu)
{
	char *to = value_of(map, elem);

	elem->hash = hash;
	copy_bytes(elem->key, key, map->spec.key_size);
	/* Somebody who still saw the element when it was deleted may have put something in. */
	drop_fields(map, here, to);
	if (map->spec.type && map->spec.type->lock >= 0)
		memset(to + map->spec.type->lock, 0, 4);
	if (!map->spec.per_cpu) {
		copy_value(map, to, value);
		return;
	}
	for (uint32_t i = 0; i < cpus_of(map); i++) {
		char *one = to + (size_t)i * map->stride;

		if (cpu < 0)
			copy_value(map, one, value + (size_t)i * map->stride);
		else if (i == (uint32_t)cpu)
			copy_value(map, one, value);
		else
			for (uint32_t s = 0; s < map->spans; s++)
				memset(one + map->span[s].offset, 0, map->span[s].size);
	}
}

static bool count_one(struct bh_map *map)
{
	if (atomic_fetch_add_explicit(&map->count, 1, memory_order_relaxed) < map->spec.max_entries)
		return true;
	atomic_fetch_sub_explicit(&map->count, 1, memory_order_relaxed);
	return false;
}

/*
 * Least recently used: elements queue up as they come. When room is needed, those at the head of the
 * queue that were looked up meanwhile go to its end once more, and the first other one goes. Linux keeps
 * lists by CPU, of which each approximates the same (kernel/bpf/bpf_lru_list.c).
 *
 * All changes of an LRU map have the queue's lock, and take that of a bucket within it.
 */
struct bh_queue {
	uint32_t lock;
	uint32_t first, last; /* places */
	uint32_t vacant;      /* the first of those, which are chained by `newer` */
	struct {
		struct bh_elem *elem;
		uint32_t older, newer;
	} place[];
};

enum { NOWHERE = UINT32_MAX };

static struct bh_queue *create_queue(uint32_t entries)
{
	struct bh_queue *queue = calloc(1, sizeof(*queue) + entries * sizeof(queue->place[0]));

	if (!queue)
		return NULL;
	queue->first = queue->last = NOWHERE;
	for (uint32_t i = 0; i < entries; i++)
		queue->place[i].newer = i + 1 < entries ? i + 1 : NOWHERE;
	return queue;
}

static bool lock_queue(struct bh_map *map, struct bh_here *here)
{
	if (bh_try_lock(&map->queue->lock))
		return true;
	return !here->level && bh_lock(here, &map->queue->lock);
}

static void leave_queue(struct bh_queue *queue, uint32_t at)
{
	uint32_t older = queue->place[at].older, newer = queue->place[at].newer;

	*(older == NOWHERE ? &queue->first : &queue->place[older].newer) = newer;
	*(newer == NOWHERE ? &queue->last : &queue->place[newer].older) = older;
}

static void join_queue(struct bh_queue *queue, uint32_t at)
{
	queue->place[at].older = queue->last;
	queue->place[at].newer = NOWHERE;
	*(queue->last == NOWHERE ? &queue->first : &queue->place[queue->last].newer) = at;
	queue->last = at;
}

static void vacate(struct bh_queue *queue, uint32_t at)
{
	leave_queue(queue, at);
	queue->place[at].newer = queue->vacant;
	queue->vacant = at;
}

/* Make room for one element more. */
static int evict(struct bh_map *map, struct bh_here *here)
{
	struct bh_queue *queue = map->queue;
	struct bh_bucket *bucket;
	struct bh_elem *elem;

	for (;;) {
		elem = queue->place[queue->first].elem;
		if (!atomic_exchange_explicit(&elem->seen, 0, memory_order_relaxed))
			break;
		leave_queue(queue, elem->place);
		join_queue(queue, elem->place);
	}
	bucket = bucket_of(map, elem->hash);
	if (!lock_bucket(bucket, here))
		return -EBUSY;
	unlink_elem(bucket, elem);
	bh_unlock(&bucket->lock);
	vacate(queue, elem->place);
	free_elem(map, here, elem);
	atomic_fetch_sub_explicit(&map->count, 1, memory_order_relaxed);
	return 0;
}

/* What is replaced was used: its successor has its place. */
static void queue_up(struct bh_map *map, struct bh_elem *elem, const struct bh_elem *old)
{
	struct bh_queue *queue = map->queue;

	if (!queue)
		return;
	elem->place = old ? old->place : queue->vacant;
	if (!old) {
		queue->vacant = queue->place[elem->place].newer;
		join_queue(queue, elem->place);
	}
	queue->place[elem->place].elem = elem;
	atomic_store_explicit(&elem->seen, old != NULL, memory_order_relaxed);
}

static int update_hash(struct bh_map *map, struct bh_here *here, const void *key,
		       const char *value, uint64_t flags, int cpu)
{
	uint32_t hash = hash_of(map, key);
	struct bh_bucket *bucket = bucket_of(map, hash);
	struct bh_elem *old, *elem;
	int error = 0;

	if (!lock_bucket(bucket, here))
		return -EBUSY;
	old = find(map, hash, key);
	if (old ? flags == BH_NOEXIST : flags == BH_EXIST) {
		error = old ? -EEXIST : -ENOENT;
	} else if (old && flags & BH_F_LOCK) {
		error = copy_locked(map, here, value_of(map, old), value);
	} else if (old && map->spec.per_cpu) {
		overwrite(map, here, value_of(map, old), value, cpu);
		atomic_store_explicit(&old->seen, 1, memory_order_relaxed);
	} else if (!old && !count_one(map)) {
		error = -E2BIG;
	} else {
		elem = bh_alloc(bh_cache_of(map->unit, here->slot));
		if (!elem) {
			if (!old)
				atomic_fetch_sub_explicit(&map->count, 1, memory_order_relaxed);
			error = -ENOMEM;
		} else {
			fill_elem(map, here, elem, hash, key, value, cpu);
			queue_up(map, elem, old);
			push_elem(bucket, elem);
			if (old) {
				unlink_elem(bucket, old);
				bh_unlock(&bucket->lock);
				free_elem(map, here, old);
				return 0;
			}
		}
	}
	bh_unlock(&bucket->lock);
	return error;
}

static int delete_hash(struct bh_map *map, struct bh_here *here, const void *key)
{
	uint32_t hash = hash_of(map, key);
	struct bh_bucket *bucket = bucket_of(map, hash);
	struct bh_elem *old;

	if (!lock_bucket(bucket, here))
		return -EBUSY;
	old = find(map, hash, key);
	if (old)
		unlink_elem(bucket, old);
	bh_unlock(&bucket->lock);
	if (!old)
		return -ENOENT;
	if (map->queue)
		vacate(map->queue, old->place);
	free_elem(map, here, old);
	atomic_fetch_sub_explicit(&map->count, 1, memory_order_relaxed);
	return 0;
}

static int update_lru(struct bh_map *map, struct bh_here *here, const void *key,
		      const char *value, uint64_t flags, int cpu)
{
	int error = 0;

	if (!lock_queue(map, here))
		return -EBUSY;
	if (flags != BH_EXIST && map->queue->vacant == NOWHERE && !find(map, hash_of(map, key), key))
		error = evict(map, here);
	if (!error)
		error = update_hash(map, here, key, value, flags, cpu);
	bh_unlock(&map->queue->lock);
	return error;
}

static int delete_lru(struct bh_map *map, struct bh_here *here, const void *key)
{
	int error;

	if (!lock_queue(map, here))
		return -EBUSY;
	error = delete_hash(map, here, key);
	bh_unlock(&map->queue->lock);
	return error;
}

/* How many elements come after this one; -1 if it is not in the chain. */
static int64_t behind(struct bh_elem *chain, struct bh_elem *elem)
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

static bool walk_hash(struct bh_map *map, struct bh_walk *walk)
{
	struct bh_bucket *buckets = (struct bh_bucket *)map->memory;
	struct bh_elem *elem = walk->next;

	if (elem) {
		struct bh_elem *first =
			atomic_load_explicit(&buckets[walk->bucket].first, memory_order_acquire);

		/* It may have been deleted meanwhile; those after it are still the last ones. */
		if (behind(first, elem) != walk->behind) {
			int64_t skip = behind(first, NULL) - walk->behind;

			for (elem = first; skip > 0; skip--)
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
	walk->key = elem->key;
	walk->value = value_of(map, elem);
	walk->next = atomic_load_explicit(&elem->next, memory_order_acquire);
	walk->behind = 0;
	if (is_marker(walk->next)) {
		walk->next = NULL;
		walk->bucket++;
	} else {
		walk->behind = (uint32_t)behind(walk->next, walk->next);
	}
	return true;
}

static int create_hash(struct bh_map *map)
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
		atomic_init(&((struct bh_bucket *)map->memory)[i].first, marker((uint32_t)i));
	map->plain_words = map->spec.shape == BH_HASH && map->spec.key_size == 4 &&
			   !map->spec.pointers;
	map->seed = mix((uintptr_t)map, 0xa0761d6478bd642fu);
	map->value_at = (uint32_t)sizeof(struct bh_elem) + ((map->spec.key_size + 7) & ~7u);
	size = map->value_at + (size_t)map->stride * cpus_of(map);
	map->heap = map->spec.heap;
	if (!map->heap)
		map->heap = bh_heap_create(map->core, (struct bh_limits){ 0, 0 });
	if (!map->heap || size > BH_OBJECT_MAX)
		return -ENOMEM;
	map->unit = bh_unit_create(map->heap, (uint32_t)size, map);
	if (!map->unit)
		return -ENOMEM;
	if (map->spec.shape == BH_LRU) {
		map->queue = create_queue(map->spec.max_entries);
		if (!map->queue)
			return -ENOMEM;
	}
	if (map->spec.preallocated && !bh_unit_reserve(map->unit, map->spec.max_entries))
		return -ENOMEM;
	return 0;
}

/* -- arrays */

static char *element(const struct bh_map *map, const void *key)
{
	uint32_t index;

	memcpy(&index, key, 4);
	if (index >= map->spec.max_entries)
		return NULL;
	return map->memory + (size_t)index * map->stride * cpus_of(map);
}

static int update_array(struct bh_map *map, struct bh_here *here, const void *key,
			const char *value, uint64_t flags, int cpu)
{
	char *to = element(map, key);

	if (!to)
		return -E2BIG;
	if (flags == BH_NOEXIST)
		return -EEXIST;
	if (flags & BH_F_LOCK && !lock_of(map, to))
		return -EINVAL;
	if (flags & BH_F_LOCK) {
		int error = copy_locked(map, here, to, value);

		if (!error)
			drop_fields(map, here, to);
		return error;
	}
	overwrite(map, here, to, value, cpu);
	return 0;
}

static bool walk_array(struct bh_map *map, struct bh_walk *walk)
{
	uint32_t index = walk->bucket;

	if (index >= map->spec.max_entries)
		return false;
	walk->bucket++;
	walk->index = index;
	walk->key = &walk->index;
	walk->value = map->memory + (size_t)index * map->stride * cpus_of(map);
	return true;
}

static int create_array(struct bh_map *map)
{
	map->bytes = (size_t)map->spec.max_entries * map->stride * cpus_of(map);
	map->memory = bh_pages_map(map->core, map->bytes, 4096);
	return map->memory ? 0 : -ENOMEM;
}

/* -- all of them */

static void *look(struct bh_map *map, const void *key, bool use)
{
	struct bh_elem *elem;
	char *value;

	switch (map->spec.shape) {
	case BH_HASH:
	case BH_LRU:
		elem = find(map, hash_of(map, key), key);
		if (!elem)
			return NULL;
		if (use && map->spec.shape == BH_LRU &&
		    !atomic_load_explicit(&elem->seen, memory_order_relaxed))
			atomic_store_explicit(&elem->seen, 1, memory_order_relaxed);
		value = value_of(map, elem);
		break;
	case BH_ARRAY:
		value = element(map, key);
		break;
	default:
		return NULL;
	}
	if (value && map->spec.pointers)
		return *(void **)value;
	return value;
}

void *bh_map_lookup(struct bh_map *map, const void *key)
{
	if (BH_LIKELY(map->plain_words)) {
		uint32_t word;
		struct bh_elem *elem;

		memcpy(&word, key, sizeof(word));
		elem = find_word(map, hash_of_word(map, word), word);
		return elem ? value_of(map, elem) : NULL;
	}
	return look(map, key, true);
}

void *bh_map_peek(struct bh_map *map, const void *key)
{
	return look(map, key, false);
}

int bh_map_update(struct bh_map *map, struct bh_here *here, const void *key, const void *value,
		  uint64_t flags, int cpu)
{
	if ((flags & ~(uint64_t)BH_F_LOCK) > BH_EXIST)
		return -EINVAL;
	switch (map->spec.shape) {
	case BH_HASH:
	case BH_LRU:
		if (flags & BH_F_LOCK && (!map->spec.type || map->spec.type->lock < 0))
			return -EINVAL;
		return (map->spec.shape == BH_LRU ? update_lru : update_hash)(map, here, key, value,
									      flags, cpu);
	case BH_ARRAY:
		return update_array(map, here, key, value, flags, cpu);
	default:
		return -EINVAL;
	}
}

int bh_map_delete(struct bh_map *map, struct bh_here *here, const void *key)
{
	void **value;

	if (map->spec.shape == BH_HASH)
		return delete_hash(map, here, key);
	if (map->spec.shape == BH_LRU)
		return delete_lru(map, here, key);
	if (map->spec.shape != BH_ARRAY || !map->spec.pointers)
		return -EINVAL;
	value = (void **)element(map, key);
	if (!value)
		return -E2BIG;
	return atomic_exchange((_Atomic(void *) *)value, NULL) ? 0 : -ENOENT;
}

uint32_t bh_map_count(const struct bh_map *map)
{
	return atomic_load_explicit(&map->count, memory_order_relaxed);
}

bool bh_map_walk(struct bh_map *map, struct bh_walk *walk)
{
	switch (map->spec.shape) {
	case BH_HASH:
	case BH_LRU:
		return walk_hash(map, walk);
	case BH_ARRAY:
		return walk_array(map, walk);
	default:
		return false;
	}
}

static int create_ring(struct bh_map *map)
{
	/* Twice the size, so that no record is in two pieces: see ring.c. */
	map->bytes = 2 * (size_t)map->spec.max_entries;
	map->memory = bh_pages_map(map->core, map->bytes, 4096);
	return map->memory ? 0 : -ENOMEM;
}

static void release(struct bh_map *map)
{
	free(map->queue);
	free(map->span);
	free(map);
}

struct bh_map *bh_map_create(struct bh_core *core, const struct bh_map_spec *spec)
{
	struct bh_map *map = aligned_alloc(BH_LINE, sizeof(*map));
	int error;

	if (!map)
		return NULL;
	memset(map, 0, sizeof(*map));
	map->spec = *spec;
	map->core = core;
	map->stride = (spec->value_size + 7) & ~7u;
	error = spec->max_entries > MAX_ENTRIES ? -E2BIG : find_spans(map);
	if (!error && spec->shape == BH_ARRAY)
		error = create_array(map);
	else if (!error && spec->shape == BH_RING)
		error = create_ring(map);
	else if (!error && spec->shape != BH_NONE)
		error = create_hash(map);
	if (!error)
		return map;
	if (map->heap && !spec->heap)
		bh_heap_destroy(map->heap);
	if (map->memory)
		bh_pages_unmap(core, map->memory, map->bytes);
	release(map);
	return NULL;
}

struct emptying {
	struct bh_map *map;
	struct bh_here *here;
};

/* Of a free one, too: see fill_elem. */
static void empty_elem(void *elem, void *arg)
{
	struct emptying *e = arg;

	drop_fields(e->map, e->here, value_of(e->map, elem));
}

void bh_map_empty(struct bh_map *map, struct bh_here *here)
{
	struct emptying emptying = { map, here };
	struct bh_walk walk = { 0 };

	if (map->unit) {
		if (map->spec.type)
			bh_unit_each(map->unit, empty_elem, &emptying);
		if (map->spec.heap) {
			/* Elements of somebody's heap go back there. */
			while (bh_map_walk(map, &walk))
				bh_map_delete(map, here, walk.key);
		}
	} else if (map->spec.type) {
		while (bh_map_walk(map, &walk))
			drop_fields(map, here, walk.value);
	}
}

void bh_map_destroy(struct bh_map *map)
{
	if (map->memory)
		bh_pages_unmap(map->core, map->memory, map->bytes);
	if (map->heap && !map->spec.heap)
		bh_heap_destroy(map->heap);
	release(map);
}
