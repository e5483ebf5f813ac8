#include "array.h"
#include "memory.h"

#include <errno.h>

char *bh_array_element(const struct bh_map *map, const void *key)
{
	uint32_t index;

	memcpy(&index, key, 4);
	if (index >= map->spec.max_entries)
		return NULL;
	return map->memory + (size_t)index * map->stride * bh_map_copies(map);
}

int bh_array_create(struct bh_map *map)
{
	map->bytes = (size_t)map->spec.max_entries * map->stride * bh_map_copies(map);
	map->memory = bh_memory_map(map->core, map->bytes, 4096, BH_TAKEN);
	if (!map->memory)
		return -ENOMEM;
	/* Nobody reaches pointers but through lookups. */
	if (!map->spec.pointers)
		map->memory -= bh_shadow(map->core);
	return 0;
}

int bh_array_update(struct bh_map *map, struct bh_here *here, const void *key,
			const char *value, uint64_t flags, int cpu)
{
	char *to = bh_array_element(map, key);

	if (!to)
		return -E2BIG;
	if (flags == BH_NOEXIST)
		return -EEXIST;
	if (flags & BH_F_LOCK && !bh_map_value_lock(map, to))
		return -EINVAL;
	if (flags & BH_F_LOCK) {
		int error = bh_map_copy_locked(map, here, to, value);

		if (!error)
			bh_map_drop_fields(map, here, to);
		return error;
	}
	bh_map_overwrite(map, here, to, value, cpu);
	return 0;
}

bool bh_array_walk(struct bh_map *map, struct bh_walk *walk)
{
	uint32_t index = walk->bucket;

	if (index >= map->spec.max_entries)
		return false;
	walk->bucket++;
	walk->index = index;
	walk->key = &walk->index;
	walk->value = map->memory + (size_t)index * map->stride * bh_map_copies(map);
	return true;
}
