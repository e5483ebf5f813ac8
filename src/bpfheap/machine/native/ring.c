/*
 * Ring buffers (kernel/bpf/ringbuf.c). Positions only grow; a record begins with a header of 8 bytes
 * and lies behind `position % size` in one piece, if need be beyond the end of the ring, where there
 * is as much room again. What nobody reserved is zeros: a header of 0 is one that is not there yet.
 * Headers lie where programs write: one that leads further than was reserved takes all of that.
 */
#include "memory.h"
#include "region.h"
#include "ring.h"

#include <errno.h>

enum {
	HEADER = BH_RING_HEADER,
	BUSY = BH_RING_BUSY,
	DISCARD = BH_RING_DISCARD,
	DONE = BH_RING_DONE,
	LONGEST = DONE - 1 - HEADER,
};

static uint64_t room(uint64_t size)
{
	return HEADER + ((size + 7) & ~(uint64_t)7);
}

static _Atomic uint32_t *header(const struct bh_map *map, uint64_t position)
{
	return (void *)(map->memory + (position & (map->spec.max_entries - 1)));
}

int bh_ring_create(struct bh_map *map)
{
	/* Twice the size, so that no record is in two pieces. */
	map->bytes = 2 * (size_t)map->spec.max_entries;
	map->memory = bh_memory_map(map->core, map->bytes, 4096, BH_TAKEN);
	if (!map->memory)
		return -ENOMEM;
	map->memory -= bh_shadow(map->core);
	return 0;
}

void *bh_ring_reserve(struct bh_map *map, uint64_t size)
{
	uint64_t at = atomic_load_explicit(&map->produced, memory_order_relaxed);
	_Atomic uint32_t *head;

	if (size > LONGEST)
		return NULL;
	do {
		uint64_t end = at + room(size);

		/* The producer never comes round to where the consumer is. */
		if (end - atomic_load_explicit(&map->consumed, memory_order_acquire) >=
		    map->spec.max_entries)
			return NULL;
	} while (!atomic_compare_exchange_weak(&map->produced, &at, at + room(size)));
	head = header(map, at);
	atomic_store_explicit(head, (uint32_t)size | BUSY, memory_order_relaxed);
	return (char *)head + HEADER;
}

void bh_ring_finish(void *record, bool submit)
{
	_Atomic uint32_t *head = (void *)((char *)record - HEADER);
	uint32_t size = atomic_load_explicit(head, memory_order_relaxed) & ~BUSY;

	atomic_store_explicit(head, submit ? size | DONE : size | DISCARD, memory_order_release);
}

uint64_t bh_ring_record_at(const struct bh_core *core, uint64_t address)
{
	void *found = bh_region_at(bh_region_of(core), address - HEADER, HEADER, BH_VACANT);

	return found && address % 8 == 0 ? (uintptr_t)found + HEADER : 0;
}

uint64_t bh_ring_unread(const struct bh_map *map)
{
	return atomic_load_explicit(&map->produced, memory_order_relaxed) -
	       atomic_load_explicit(&map->consumed, memory_order_relaxed);
}

int64_t bh_ring_peek(struct bh_map *map, const void **data)
{
	for (;;) {
		uint64_t at = atomic_load_explicit(&map->consumed, memory_order_relaxed);
		_Atomic uint32_t *head = header(map, at);
		uint32_t size;

		if (at == atomic_load_explicit(&map->produced, memory_order_acquire))
			return -1;
		size = atomic_load_explicit(head, memory_order_acquire);
		if (!size || size & BUSY)
			return -1;
		if (size & DISCARD || room(size & (DONE - 1)) > bh_ring_unread(map)) {
			bh_ring_consume(map);
			continue;
		}
		*data = (char *)head + HEADER;
		return size & (DONE - 1);
	}
}

void bh_ring_consume(struct bh_map *map)
{
	uint64_t at = atomic_load_explicit(&map->consumed, memory_order_relaxed);
	_Atomic uint32_t *head = header(map, at);
	uint64_t taken = room(atomic_load_explicit(head, memory_order_relaxed) & (DONE - 1));
	uint64_t reserved = bh_ring_unread(map);

	if (taken > reserved)
		taken = reserved;
	memset((void *)head, 0, taken);
	atomic_store_explicit(&map->consumed, at + taken, memory_order_release);
}
