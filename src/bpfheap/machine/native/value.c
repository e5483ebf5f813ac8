#include "value.h"

#include <errno.h>
#include <stdlib.h>

int bh_map_find_spans(struct bh_map *map)
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

int bh_map_copy_locked(const struct bh_map *map, struct bh_here *here, char *to, const char *from)
{
	char *lock = bh_map_value_lock(map, to);

	if (!bh_lock(here, lock))
		return -EBUSY;
	bh_map_copy_value(map, to, from);
	bh_unlock(lock);
	return 0;
}

void bh_map_overwrite(struct bh_map *map, struct bh_here *here, char *value, const char *from,
		      int cpu)
{
	for (uint32_t i = 0; i < bh_map_copies(map); i++) {
		char *to = value + (size_t)i * map->stride;

		if (map->spec.per_cpu && cpu >= 0 && i != (uint32_t)cpu)
			continue;
		bh_map_copy_value(map, to, from + (cpu < 0 ? (size_t)i * map->stride : 0));
		if (map->spec.type)
			bh_drop_fields(here, map->spec.type, to);
	}
}
