#define _GNU_SOURCE
#include "loops.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 10000, RING = 4096, THREADS = 64 };

static uint64_t now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
}

/* Keeps the compiler from leaving out an allocation of which it sees that nobody uses it. */
#define USE(object) ({ __asm__ volatile("" : "+r"(object) : : "memory"); })

/*
 * The fast path of a heap without statistics, to compare with: a stack of free objects between two
 * watermarks. Ours is the same, since the position of its top says how many objects there are. So
 * statistics should cost nothing, and a difference in time is what they do cost.
 */
struct uncounted {
	void **top, **low, **high;
	void *objects[BH_SLOTS] BH_ALIGNED(BH_LINE);
};

__attribute__((noinline)) static void *refill(struct uncounted *u)
{
	USE(u);
	return NULL;
}

__attribute__((noinline)) static void spill(struct uncounted *u, void *object)
{
	USE(u);
	USE(object);
}

static inline void *uncounted_alloc(struct uncounted *u)
{
	void **top = u->top;

	if (BH_UNLIKELY(top <= u->low))
		return refill(u);
	u->top = top - 1;
	return top[-1];
}

static inline void uncounted_free(struct uncounted *u, void *object)
{
	void **top = u->top;

	if (BH_UNLIKELY(top >= u->high)) {
		spill(u, object);
		return;
	}
	*top = object;
	u->top = top + 1;
}

/* The time of `rounds` pairs of an allocation and a free; the expression `free_` may name `object`. */
#define PAIRS(alloc, free_)                                      \
	do {                                                     \
		begin = now();                                   \
		for (uint64_t i = 0; i < loop->rounds; i++) {    \
			void *object = (alloc);                  \
                                                                 \
			if (BH_UNLIKELY(!object))                \
				break;                           \
			USE(object);                             \
			free_;                                   \
		}                                                \
		took = now() - begin;                            \
	} while (0)

static uint64_t uncounted_pairs(const struct bh_loop *loop, struct bh_cache *cache)
{
	struct uncounted u, *c = &u;
	uint64_t begin, took;

	u.low = u.objects + 32;
	u.high = u.objects + 96;
	for (u.top = u.objects; u.top < u.objects + 64; u.top++)
		*u.top = bh_alloc(cache);
	USE(c);
	PAIRS(uncounted_alloc(c), uncounted_free(c, object));
	while (u.top > u.objects)
		bh_free(cache, *--u.top);
	return took;
}

static uint64_t pairs(const struct bh_loop *loop, struct bh_here *here)
{
	struct bh_cache *cache = loop->unit ? bh_cache_of(loop->unit, here->slot) : NULL;
	struct bh_unit *unit = loop->unit;
	uint64_t begin, took = 0;

	switch (loop->side) {
	case BH_CACHE:
		PAIRS(bh_alloc(cache), bh_free(cache, object));
		break;
	case BH_TOLD:
		PAIRS(bh_alloc(cache), (USE(unit), bh_free(bh_cache_of(unit, here->slot), object)));
		break;
	case BH_BY_POINTER:
		PAIRS(bh_alloc(cache), bh_free_at(here, object));
		break;
	case BH_UNCOUNTED:
		return uncounted_pairs(loop, cache);
	case BH_PEER:
		PAIRS(loop->malloc(loop->size), loop->free(object));
		break;
	}
	return took;
}

static void *take(const struct bh_loop *loop, const struct bh_here *here)
{
	if (loop->side == BH_PEER)
		return loop->malloc(loop->size);
	return bh_alloc(bh_cache_of(loop->unit, here->slot));
}

static void give(const struct bh_loop *loop, struct bh_here *here, void *object)
{
	if (loop->side == BH_PEER)
		loop->free(object);
	else
		bh_free_at(here, object);
}

uint64_t bh_loop_pairs(const struct bh_loop *loop)
{
	struct bh_here here;
	uint64_t took;

	bh_enter(loop->core, -1, NULL, &here);
	took = pairs(loop, &here);
	bh_leave(&here);
	return took;
}

static uint64_t xorshift(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

uint64_t bh_loop_batch(const struct bh_loop *loop)
{
	static void *objects[BATCH];
	static uint32_t order[BATCH];
	uint64_t random = 88172645463325252u, begin, took = 0;
	struct bh_here here;

	for (uint32_t i = 0; i < BATCH; i++) {
		uint32_t at = (uint32_t)(xorshift(&random) % (i + 1));

		order[i] = order[at];
		order[at] = i;
	}
	bh_enter(loop->core, -1, NULL, &here);
	begin = now();
	for (uint64_t round = 0; round < loop->rounds; round++) {
		for (uint32_t i = 0; i < BATCH; i++) {
			objects[i] = take(loop, &here);
			if (!objects[i])
				goto out;
			*(volatile uint64_t *)objects[i] = i;
		}
		for (uint32_t i = 0; i < BATCH; i++)
			give(loop, &here, objects[order[i]]);
	}
	took = now() - begin;
out:
	bh_leave(&here);
	return took;
}

/* A ring between one thread that allocates and one that frees. */
struct ring {
	const struct bh_loop *loop;
	_Atomic uint64_t made BH_ALIGNED(BH_LINE);
	_Atomic uint64_t used BH_ALIGNED(BH_LINE);
	void *objects[RING] BH_ALIGNED(BH_LINE);
};

static void *consume(void *arg)
{
	struct ring *ring = arg;
	struct bh_here here;
	uint64_t made = 0;

	bh_enter(ring->loop->core, 1, NULL, &here);
	for (uint64_t i = 0; i < ring->loop->rounds; i++) {
		while (i == made)
			made = atomic_load_explicit(&ring->made, memory_order_acquire);
		if (!ring->objects[i % RING])
			break;
		give(ring->loop, &here, ring->objects[i % RING]);
		if (i % 64 == 63)
			atomic_store_explicit(&ring->used, i + 1, memory_order_release);
	}
	bh_leave(&here);
	return NULL;
}

uint64_t bh_loop_pass_on(const struct bh_loop *loop)
{
	static struct ring ring;
	struct bh_here here;
	pthread_t consumer;
	uint64_t begin, used = 0;

	ring.loop = loop;
	atomic_store(&ring.made, 0);
	atomic_store(&ring.used, 0);
	if (pthread_create(&consumer, NULL, consume, &ring))
		return 0;
	bh_enter(loop->core, 0, NULL, &here);
	begin = now();
	for (uint64_t i = 0; i < loop->rounds; i++) {
		void *object = take(loop, &here);

		while (i - used == RING)
			used = atomic_load_explicit(&ring.used, memory_order_acquire);
		if (object)
			*(volatile uint64_t *)object = i;
		ring.objects[i % RING] = object;
		if (i % 64 == 63 || i + 1 == loop->rounds || !object)
			atomic_store_explicit(&ring.made, i + 1, memory_order_release);
		if (!object)
			break;
	}
	bh_leave(&here);
	pthread_join(consumer, NULL);
	return now() - begin;
}

static void *pairs_of_thread(void *arg)
{
	return (void *)(uintptr_t)bh_loop_pairs(arg);
}

uint64_t bh_loop_threads(const struct bh_loop *loop, unsigned threads)
{
	pthread_t thread[THREADS];
	uint64_t begin = now();
	unsigned n;

	for (n = 0; n < threads && n < THREADS; n++)
		if (pthread_create(&thread[n], NULL, pairs_of_thread, (void *)loop))
			break;
	for (unsigned i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	return n == threads ? now() - begin : 0;
}

uint64_t bh_loop_among(const struct bh_loop *loop, uint64_t live)
{
	void **objects = malloc(live * sizeof(*objects));
	uint64_t random = 88172645463325252u, begin, took = 0, n = 0;
	struct bh_here here;

	if (!objects)
		return 0;
	bh_enter(loop->core, -1, NULL, &here);
	while (n < live && (objects[n] = take(loop, &here)))
		n++;
	/* Each round frees one of them, and allocates another in its stead. */
	begin = now();
	for (uint64_t i = 0; n == live && i < loop->rounds; i++) {
		uint64_t at = xorshift(&random) % live;

		give(loop, &here, objects[at]);
		objects[at] = take(loop, &here);
		if (!objects[at]) {
			objects[at] = objects[--n];
			break;
		}
		*(volatile uint64_t *)objects[at] = i;
	}
	if (n == live)
		took = now() - begin;
	while (n)
		give(loop, &here, objects[--n]);
	bh_leave(&here);
	free(objects);
	return took;
}

static int64_t resident(void)
{
	char text[128] = "";
	long pages = 0;
	int fd = open("/proc/self/statm", O_RDONLY);

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) > 0)
		sscanf(text, "%*s %ld", &pages);
	close(fd);
	return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

bool bh_loop_footprint(struct bh_core *core, uint32_t size, uint64_t live,
		       struct bh_footprint *found)
{
	void **objects = malloc(live * sizeof(*objects));
	struct bh_heap *heap;
	struct bh_unit *unit;
	struct bh_here here;
	uint64_t n = 0, mapped;

	if (!objects)
		return false;
	memset(objects, 1, live * sizeof(*objects));
	found->before = resident();
	mapped = bh_pages_mapped(core);
	heap = bh_heap_create(core, (struct bh_limits){ 0, 0 });
	unit = heap ? bh_unit_create(heap, size, NULL) : NULL;
	if (unit) {
		bh_enter(core, 0, NULL, &here);
		while (n < live && (objects[n] = bh_alloc(bh_cache_of(unit, here.slot))))
			memset(objects[n++], 1, size);
		bh_leave(&here);
		found->with = resident();
		found->mapped = (int64_t)(bh_pages_mapped(core) - mapped);
		bh_enter(core, 0, NULL, &here);
		for (uint64_t i = 0; i < n; i++)
			bh_free_at(&here, objects[i]);
		bh_leave(&here);
	}
	if (heap)
		bh_heap_destroy(heap);
	/* The worker unmaps the memory; wait for it. */
	bh_barrier(core, NULL);
	found->after = resident();
	free(objects);
	return n == live;
}

enum { KEYS = 1024, FILL = 1000 };

uint64_t bh_loop_map(struct bh_core *core, struct bh_map *map, enum bh_map_loop what,
		     uint64_t rounds)
{
	uint64_t begin, took, value[8] = { 0 }, sum = 0;
	struct bh_here here;
	int failed = 0;
	uint32_t key;

	bh_enter(core, 0, NULL, &here);
	if (what == BH_LOOKUP)
		for (key = 0; key < KEYS; key++)
			failed |= bh_map_update(map, &here, &key, value, BH_ANY, -1);
	begin = now();
	for (uint64_t i = 0; i < rounds && !failed; i++) {
		switch (what) {
		case BH_UPDATE_DELETE:
			key = (uint32_t)i % KEYS;
			failed |= bh_map_update(map, &here, &key, value, BH_ANY, -1);
			failed |= bh_map_delete(map, &here, &key);
			break;
		case BH_LOOKUP:
			key = (uint32_t)i % KEYS;
			sum += *(uint64_t *)bh_map_lookup(map, &key);
			break;
		case BH_FILL_DELETE:
			for (key = 0; key < FILL; key++)
				failed |= bh_map_update(map, &here, &key, value, BH_ANY, -1);
			for (key = 0; key < FILL; key++)
				failed |= bh_map_delete(map, &here, &key);
			break;
		}
	}
	took = now() - begin;
	USE(sum);
	bh_leave(&here);
	return failed ? 0 : took;
}
