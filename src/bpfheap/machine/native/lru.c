#define _GNU_SOURCE
#include "map_private.h"

#include <stdlib.h>

/*
 * Least recently used, approximated by second chance (CLOCK). Elements queue up in the order in which they
 * come. When room is needed, the head of the queue is evicted, unless it was looked up since it joined
 * (`seen`): then it joins the end once more, and the next one is looked at. Linux approximates the same with
 * lists for each CPU (kernel/bpf/bpf_lru_list.c).
 *
 * All changes of an LRU map have the queue's lock, and take that of a bucket within it.
 */
struct bh_queue {
	uint32_t lock;
	uint32_t first, last; /* places */
	uint32_t vacant;      /* the first vacant place; they are chained by `newer` */
	struct {
		struct bh_elem *elem;
		uint32_t older, newer;
	} place[];
};

enum { NOWHERE = UINT32_MAX };

struct bh_queue *bh_lru_create_queue(uint32_t entries)
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

void bh_lru_vacate(struct bh_queue *queue, uint32_t at)
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
	bucket = bh_bucket_of(map, elem->hash);
	if (!bh_bucket_lock(bucket, here))
		return -EBUSY;
	bh_elem_unlink(bucket, elem);
	bh_unlock(&bucket->lock);
	bh_lru_vacate(queue, elem->place);
	bh_elem_free(map, here, elem);
	atomic_fetch_sub_explicit(&map->count, 1, memory_order_relaxed);
	return 0;
}

/* A new element joins the end. One that replaces another takes its place, and counts as looked up. */
void bh_lru_queue_up(struct bh_map *map, struct bh_elem *elem, const struct bh_elem *old)
{
	struct bh_queue *queue = map->queue;

	elem->place = old ? old->place : queue->vacant;
	if (!old) {
		queue->vacant = queue->place[elem->place].newer;
		join_queue(queue, elem->place);
	}
	queue->place[elem->place].elem = elem;
	atomic_store_explicit(&elem->seen, old != NULL, memory_order_relaxed);
}

int bh_lru_update(struct bh_map *map, struct bh_here *here, const void *key,
		      const char *value, uint64_t flags, int cpu)
{
	int error = 0;

	if (!lock_queue(map, here))
		return -EBUSY;
	if (flags != BH_EXIST && map->queue->vacant == NOWHERE && !bh_hash_find(map, bh_hash_of(map, key), key))
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
