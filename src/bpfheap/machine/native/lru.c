#include "hash.h"
#include "lru.h"
#include "lru_queue.h"

#include <errno.h>

static bool lock_queue(struct bh_map *map, struct bh_here *here)
{
	if (bh_try_lock(&map->queue->lock))
		return true;
	return !here->level && bh_lock(here, &map->queue->lock);
}

/* Make room for one element more. */
static int evict(struct bh_map *map, struct bh_here *here)
{
	struct bh_queue *queue = map->queue;
	struct bh_elem *elem = bh_lru_victim(queue);
	struct bh_bucket *bucket = bh_bucket_of(map, elem->hash);

	if (!bh_bucket_lock(bucket, here))
		return -EBUSY;
	bh_elem_unlink(bucket, elem);
	bh_unlock(&bucket->lock);
	bh_lru_vacate(queue, elem->place);
	bh_elem_free(map, here, elem);
	atomic_fetch_sub_explicit(&map->count, 1, memory_order_relaxed);
	return 0;
}

int bh_lru_update(struct bh_map *map, struct bh_here *here, const void *key,
		      const char *value, uint64_t flags, int cpu)
{
	int error = 0;

	if (!lock_queue(map, here))
		return -EBUSY;
	if (flags != BH_EXIST && bh_lru_is_full(map->queue) && !bh_hash_find(map, bh_hash_of(map, key), key))
		error = evict(map, here);
	if (!error)
		error = bh_hash_update(map, here, key, value, flags, cpu);
	bh_unlock(&map->queue->lock);
	return error;
}

int bh_lru_delete(struct bh_map *map, struct bh_here *here, const void *key)
{
	int error;

	if (!lock_queue(map, here))
		return -EBUSY;
	error = bh_hash_delete(map, here, key);
	bh_unlock(&map->queue->lock);
	return error;
}
