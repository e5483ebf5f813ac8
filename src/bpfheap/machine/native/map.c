#include "array.h"
#include "hash.h"
#include "lru.h"
#include "map.h"
#include "memory.h"
#include "trie.h"

#include <errno.h>
#include <stdlib.h>

enum { MAX_ENTRIES = 1u << 30 };

/* -- what maps of all shapes can do */

static void *look_up(struct bh_map *map, const void *key, bool use)
{
	struct bh_elem *elem;
	char *value;

	switch (map->spec.shape) {
	case BH_HASH:
	case BH_LRU:
		elem = bh_hash_find(map, bh_hash_of(map, key), key);
		if (!elem)
			return NULL;
		if (use && map->spec.shape == BH_LRU &&
		    !atomic_load_explicit(&elem->seen, memory_order_relaxed))
			atomic_store_explicit(&elem->seen, 1, memory_order_relaxed);
		value = bh_elem_value(map, elem);
		break;
	case BH_TRIE:
		return bh_trie_lookup(map, key);
	case BH_ARRAY:
		value = bh_array_element(map, key);
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
		elem = bh_hash_find_word(map, bh_hash_of_word(map, word), word);
		return elem ? bh_elem_value(map, elem) : NULL;
	}
	return look_up(map, key, true);
}

void *bh_map_peek(struct bh_map *map, const void *key)
{
	return look_up(map, key, false);
}

int bh_map_update(struct bh_map *map, struct bh_here *here, const void *key, const void *value,
		  uint64_t flags, int cpu)
{
	if ((flags & ~(uint64_t)BH_F_LOCK) > BH_EXIST)
		return -EINVAL;
	switch (map->spec.shape) {
	case BH_TRIE:
		return flags & BH_F_LOCK ? -EINVAL : bh_trie_update(map, here, key, value, flags, cpu);
	case BH_HASH:
	case BH_LRU:
		if (flags & BH_F_LOCK && (!map->spec.type || map->spec.type->lock < 0))
			return -EINVAL;
		return (map->spec.shape == BH_LRU ? bh_lru_update : bh_hash_update)(map, here, key, value,
									      flags, cpu);
	case BH_ARRAY:
		return bh_array_update(map, here, key, value, flags, cpu);
	default:
		return -EINVAL;
	}
}

int bh_map_delete(struct bh_map *map, struct bh_here *here, const void *key)
{
	void **value;

	if (map->spec.shape == BH_HASH)
		return bh_hash_delete(map, here, key);
	if (map->spec.shape == BH_LRU)
		return bh_lru_delete(map, here, key);
	if (map->spec.shape == BH_TRIE)
		return bh_trie_delete(map, here, key);
	if (map->spec.shape != BH_ARRAY || !map->spec.pointers)
		return -EINVAL;
	value = (void **)bh_array_element(map, key);
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
	case BH_TRIE:
		return bh_hash_walk(map, walk);
	case BH_ARRAY:
		return bh_array_walk(map, walk);
	default:
		return false;
	}
}

/* -- the life of a map */

static void free_map_record(struct bh_map *map)
{
	if (map->memory && (map->spec.shape == BH_HASH || map->spec.shape == BH_LRU || map->spec.shape == BH_TRIE))
		bh_pages_unmap(map->core, map->memory, map->bytes);
	else if (map->memory)
		bh_memory_unmap(map->core,
				map->memory + (map->spec.pointers ? 0 : bh_shadow(map->core)), map->bytes);
	free(map->queue);
	free(map->span);
	free(map->lengths);
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
	error = spec->max_entries > MAX_ENTRIES ? -E2BIG : bh_map_find_spans(map);
	if (!error && spec->shape == BH_ARRAY)
		error = bh_array_create(map);
	else if (!error && spec->shape == BH_RING)
		error = bh_ring_create(map);
	else if (!error && spec->shape == BH_TRIE)
		error = bh_trie_create(map);
	else if (!error && spec->shape != BH_NONE && spec->shape != BH_PLAYED)
		error = bh_hash_create(map);
	if (!error && bh_is_hardened(core) && !bh_handle_add((struct bh_region *)core, map))
		error = -ENOMEM;
	if (!error)
		return map;
	if (map->heap && !spec->heap)
		bh_heap_destroy(map->heap);
	free_map_record(map);
	return NULL;
}

void bh_map_forget(struct bh_map *map)
{
	if (bh_is_hardened(map->core))
		bh_handle_remove((struct bh_region *)map->core, map);
}

struct emptying {
	struct bh_map *map;
	struct bh_here *here;
};

/* Nobody has the value's lock, whatever a program wrote there. */
static void drop_last(struct bh_map *map, struct bh_here *here, char *value)
{
	if (bh_is_hardened(map->core) && map->spec.type->lock >= 0)
		for (uint32_t cpu = 0; cpu < bh_map_copies(map); cpu++)
			bh_unlock(value + (size_t)cpu * map->stride + map->spec.type->lock);
	bh_map_drop_fields(map, here, value);
}

/* Of a free one, too: see fill_elem. */
static void empty_elem(void *elem, void *arg)
{
	struct emptying *e = arg;

	drop_last(e->map, e->here, bh_elem_value(e->map, elem));
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
			drop_last(map, here, walk.value);
	}
}

void bh_map_destroy(struct bh_map *map)
{
	bh_map_forget(map);
	if (map->heap && !map->spec.heap)
		bh_heap_destroy(map->heap);
	free_map_record(map);
}
