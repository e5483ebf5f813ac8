/*
 * Threads and signals change maps together: elements come and go, objects are exchanged into them and
 * out again, records are written. In the end all objects and all memory have to be back.
 *
 *     stress_maps SECONDS THREADS HZ
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "map.h"

enum { CPUS = 2, KEYS = 96, MAPS = 5, TRIE = 4 };

struct value {
	uint64_t count;
	void *kptr;
};

struct item {
	uint64_t word;
	void *kptr; /* one more inside */
	uint32_t owners, unused;
};

static struct bh_core *core;
static struct bh_unit *items;
static struct bh_map *maps[MAPS], *ring;
static _Atomic bool stop;
static _Atomic uint64_t operations, signals, refused, records;

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static struct bh_type *make_type(uint32_t size, uint32_t kptr, int32_t refcount)
{
	struct bh_type *type = calloc(1, sizeof(*type) + 2 * sizeof(struct bh_field));

	*type = (struct bh_type){ .size = size, .copies = 1, .lock = -1, .refcount = refcount };
	type->field[type->fields++] = (struct bh_field){ .kind = BH_KPTR, .offset = kptr, .size = 8 };
	if (refcount >= 0)
		type->field[type->fields++] = (struct bh_field){
			.kind = BH_REFCOUNT, .offset = (uint32_t)refcount, .size = 4
		};
	return type;
}

static void put(struct bh_here *here, void *field)
{
	struct item *item = bh_object_new(here, items, 0);
	void *old;

	if (item) {
		struct item *inner = bh_object_new(here, items, 0);

		item->kptr = inner;
	}
	old = atomic_exchange((_Atomic(void *) *)field, (void *)item);
	/* Somebody else may be an owner for a moment. */
	if (old && bh_object_acquire(old, bh_type_of(here->core, old)))
		bh_object_drop(here, old, 0);
	if (old)
		bh_object_drop(here, old, 0);
}

static void change(struct bh_here *here, uint64_t *random)
{
	uint64_t r = next_random(random);
	struct bh_map *map = maps[r % MAPS];
	/* Of a trie, a length and as many bits. */
	uint32_t number = (uint32_t)(r >> 8) % KEYS, key[2] = { number % 33, (number & 3) * 0x01010101u };
	struct value value = { r, NULL }, *found;
	void *record;

	if (map != maps[TRIE])
		key[0] = number;
	switch (r >> 32 & 7) {
	case 0:
	case 1:
		if (bh_map_update(map, here, key, &value, r >> 40 & 1, -1) == -EBUSY)
			atomic_fetch_add(&refused, 1);
		break;
	case 2:
		if (bh_map_delete(map, here, key) == -EBUSY)
			atomic_fetch_add(&refused, 1);
		break;
	case 3:
		record = bh_ring_reserve(ring, r >> 40 & 63);
		if (record) {
			bh_ring_finish(record, r >> 50 & 1);
			atomic_fetch_add(&records, r >> 50 & 1);
		}
		break;
	default:
		found = bh_map_lookup(map, key);
		if (found)
			put(here, &found->kptr);
	}
}

static void on_signal(int number)
{
	static _Atomic uint64_t seed = 88172645463325252u;
	uint64_t random = atomic_fetch_add(&seed, 0x9e3779b97f4a7c15u) | 1;
	int saved = errno;
	struct bh_here here;

	(void)number;
	if (bh_enter(core, -1, bh_at_once, &here)) {
		for (unsigned i = 0; i < 4; i++)
			change(&here, &random);
		bh_leave(&here);
	}
	atomic_fetch_add(&signals, 1);
	errno = saved;
}

static void *work(void *arg)
{
	uint64_t random = 0x2545f4914f6cdd1du * ((uintptr_t)arg + 1), done = 0;

	while (!atomic_load(&stop)) {
		struct bh_here here;

		bh_enter(core, -1, NULL, &here);
		for (unsigned i = 0; i < 64; i++, done++)
			change(&here, &random);
		bh_leave(&here);
	}
	atomic_fetch_add(&operations, done);
	return NULL;
}

static int fail(const char *what, uint64_t got, uint64_t wanted)
{
	fprintf(stderr, "%s: %llu, not %llu\n", what, (unsigned long long)got,
		(unsigned long long)wanted);
	return 1;
}

static double elapsed(const struct timespec *since)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - since->tv_sec) + (double)(now.tv_nsec - since->tv_nsec) / 1e9;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 1;
	int threads = argc > 2 ? atoi(argv[2]) : 4;
	int hz = argc > 3 ? atoi(argv[3]) : 10000;
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART | SA_NODEFER };
	struct timespec begin, pause = { .tv_nsec = 1000000000 / hz };
	struct bh_type *held = make_type(sizeof(struct value), 8, -1);
	struct bh_type *type = make_type(sizeof(struct item), 8, 16);
	uint64_t read = 0;
	pthread_t thread[64];
	struct bh_heap *heap;
	struct bh_here here;

	core = bh_core_create(CPUS);
	heap = bh_heap_create(core, (struct bh_limits){ 0, 0 });
	items = bh_unit_create(heap, sizeof(struct item), type);
	for (int i = 0; i < MAPS; i++) {
		struct bh_map_spec spec = { .shape = i == TRIE ? BH_TRIE :
						     i == 3 ? BH_ARRAY : i == 2 ? BH_LRU : BH_HASH,
					    .key_size = i == TRIE ? 8 : 4,
					    .value_size = sizeof(struct value),
					    /* Some are full now and then; chains are long. */
					    .max_entries = i == 3 ? KEYS : i == 2 ? 32 : 64,
					    .preallocated = i == 1,
					    .type = held };

		maps[i] = bh_map_create(core, &spec);
	}
	ring = bh_map_create(core, &(struct bh_map_spec){ .shape = BH_RING, .max_entries = 1 << 16 });
	sigaction(SIGUSR1, &action, NULL);
	for (intptr_t i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, work, (void *)i);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned n = 0; elapsed(&begin) < seconds; n++) {
		const void *data;

		pthread_kill(thread[n % (unsigned)threads], SIGUSR1);
		while (bh_ring_peek(ring, &data) >= 0) {
			bh_ring_consume(ring);
			read++;
		}
		nanosleep(&pause, NULL);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);

	for (const void *data; bh_ring_peek(ring, &data) >= 0; read++)
		bh_ring_consume(ring);
	if (read != atomic_load(&records) || bh_ring_unread(ring))
		return fail("records", read, atomic_load(&records));
	for (int i = 0; i < MAPS; i++) {
		struct bh_walk walk = { 0 };
		uint64_t count = 0;

		while (bh_map_walk(maps[i], &walk))
			count++;
		if (i != 3 && count != bh_map_count(maps[i]))
			return fail("elements", count, bh_map_count(maps[i]));
		bh_enter(core, -1, NULL, &here);
		bh_map_empty(maps[i], &here);
		bh_leave(&here);
		bh_map_destroy(maps[i]);
	}
	bh_map_destroy(ring);
	bh_barrier(core, NULL);
	if (bh_heap_stats(heap).live)
		return fail("objects that are left", bh_heap_stats(heap).live, 0);
	bh_heap_destroy(heap);
	bh_barrier(core, NULL);
	if (bh_pages_mapped(core))
		return fail("bytes mapped in the end", bh_pages_mapped(core), 0);
	bh_core_destroy(core);
	free(held);
	free(type);
	printf("%llu operations, %llu signals, %llu refused\n", (unsigned long long)operations,
	       (unsigned long long)signals, (unsigned long long)refused);
	return 0;
}
