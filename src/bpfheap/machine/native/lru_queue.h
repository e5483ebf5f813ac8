/* The queue of an LRU map's elements: which of them goes when room is needed. */
#ifndef BPFHEAP_LRU_QUEUE_H
#define BPFHEAP_LRU_QUEUE_H

#include "element.h"

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

enum { BH_NOWHERE = UINT32_MAX };

/* NULL without memory. */
struct bh_queue *bh_lru_create_queue(uint32_t entries);

/* -- with the queue's lock */

static inline bool bh_lru_is_full(const struct bh_queue *queue)
{
	return queue->vacant == BH_NOWHERE;
}

static inline void bh_queue_leave(struct bh_queue *queue, uint32_t at)
{
	uint32_t older = queue->place[at].older, newer = queue->place[at].newer;

	*(older == BH_NOWHERE ? &queue->first : &queue->place[older].newer) = newer;
	*(newer == BH_NOWHERE ? &queue->last : &queue->place[newer].older) = older;
}

static inline void bh_queue_join(struct bh_queue *queue, uint32_t at)
{
	queue->place[at].older = queue->last;
	queue->place[at].newer = BH_NOWHERE;
	*(queue->last == BH_NOWHERE ? &queue->first : &queue->place[queue->last].newer) = at;
	queue->last = at;
}

/* The element that is to be evicted. */
static inline struct bh_elem *bh_lru_victim(struct bh_queue *queue)
{
	struct bh_elem *elem;

	for (;;) {
		elem = queue->place[queue->first].elem;
		if (!atomic_exchange_explicit(&elem->seen, 0, memory_order_relaxed))
			return elem;
		bh_queue_leave(queue, elem->place);
		bh_queue_join(queue, elem->place);
	}
}

/* A new element queues up, in the place of the one that it replaces. */
void bh_lru_queue_up(struct bh_map *map, struct bh_elem *elem, const struct bh_elem *old);
/* One that was deleted gives its place up. */
void bh_lru_vacate(struct bh_queue *queue, uint32_t at);

#endif
