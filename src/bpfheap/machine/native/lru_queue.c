#include "lru_queue.h"

#include <stdlib.h>

struct bh_queue *bh_lru_create_queue(uint32_t entries)
{
	struct bh_queue *queue = calloc(1, sizeof(*queue) + entries * sizeof(queue->place[0]));

	if (!queue)
		return NULL;
	queue->first = queue->last = BH_NOWHERE;
	for (uint32_t i = 0; i < entries; i++)
		queue->place[i].newer = i + 1 < entries ? i + 1 : BH_NOWHERE;
	return queue;
}

void bh_lru_vacate(struct bh_queue *queue, uint32_t at)
{
	bh_queue_leave(queue, at);
	queue->place[at].newer = queue->vacant;
	queue->vacant = at;
}

/* A new element joins the end. One that replaces another takes its place, and counts as looked up. */
void bh_lru_queue_up(struct bh_map *map, struct bh_elem *elem, const struct bh_elem *old)
{
	struct bh_queue *queue = map->queue;

	elem->place = old ? old->place : queue->vacant;
	if (!old) {
		queue->vacant = queue->place[elem->place].newer;
		bh_queue_join(queue, elem->place);
	}
	queue->place[elem->place].elem = elem;
	atomic_store_explicit(&elem->seen, old != NULL, memory_order_relaxed);
}
