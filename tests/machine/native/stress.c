/*
 * Threads and signals allocate and free together; in the end all counts have to balance.
 *
 *     stress SECONDS THREADS HZ
 *
 * Built with sanitizers by test_heap_stress.py. Prints one line and returns 0 if all is well.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "heap.h"

enum { CPUS = 2, SHARED = 64, MINE = 512, SIZES = 3 };

static struct bh_core *core;
static struct bh_unit *units[SIZES];
static const uint32_t sizes[SIZES] = { 32, 64, 1000 };
/* Objects change hands here: exchanged as kptrs are. */
static _Atomic(void *) shared[SHARED];
static _Atomic bool stop;
static _Atomic uint64_t operations, signals, refused;

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* What an object holds while it lives: nobody else may write there. */
static void mark(void *object, uint32_t size)
{
	memset(object, (int)((uintptr_t)object >> 4 & 0x7f), size);
}

static void check(const void *object, uint32_t size)
{
	const unsigned char *bytes = object;

	for (uint32_t i = 0; i < size; i++) {
		if (bytes[i] != ((uintptr_t)object >> 4 & 0x7f)) {
			static const char text[] = "an object was written to by somebody else\n";

			if (write(2, text, sizeof(text) - 1) < 0)
				_exit(3);
			_exit(2);
		}
	}
}

static void drop(struct bh_here *here, void *object, bool later)
{
	struct bh_unit *unit = bh_slab_of(object)->unit;

	check(object, bh_unit_size(unit));
	if (later)
		bh_free_rcu(object);
	else
		bh_free_at(here, object);
}

static void *fresh(struct bh_here *here, uint64_t random)
{
	struct bh_unit *unit = units[random % SIZES];
	void *object = bh_alloc(bh_cache_of(unit, here->slot));

	if (object)
		mark(object, bh_unit_size(unit));
	else
		atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
	return object;
}

/* One of the shared places gets a new object, or none. */
static void exchange(struct bh_here *here, uint64_t random)
{
	void *object = random & 0x100 ? fresh(here, random >> 9) : NULL;
	void *old = atomic_exchange(&shared[random % SHARED], object);

	if (old)
		drop(here, old, random & 0x200);
}

static void on_signal(int number)
{
	static _Thread_local uint64_t random __attribute__((tls_model("initial-exec")));
	struct bh_here here;
	int error = errno;

	(void)number;
	if (!random)
		random = (uintptr_t)&random | 1;
	if (bh_enter(core, -1, bh_at_once, &here)) {
		for (int i = 0; i < 16; i++)
			exchange(&here, next_random(&random));
		bh_leave(&here);
		atomic_fetch_add_explicit(&signals, 1, memory_order_relaxed);
	}
	errno = error;
}

static void *work(void *arg)
{
	uint64_t random = 0x9e3779b97f4a7c15u * ((uintptr_t)arg + 1);
	void *mine[MINE] = { NULL };

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		struct bh_here here;

		bh_enter(core, -1, NULL, &here);
		for (int i = 0; i < 200; i++) {
			uint64_t r = next_random(&random);
			void **place = &mine[r >> 20 & (MINE - 1)];

			if (r & 1) {
				exchange(&here, r >> 1);
			} else if (*place) {
				drop(&here, *place, (r & 6) == 0);
				*place = NULL;
			} else {
				*place = fresh(&here, r >> 40);
			}
		}
		bh_leave(&here);
		atomic_fetch_add_explicit(&operations, 200, memory_order_relaxed);
	}
	struct bh_here here;

	bh_enter(core, -1, NULL, &here);
	for (int i = 0; i < MINE; i++)
		if (mine[i])
			drop(&here, mine[i], i & 1);
	bh_leave(&here);
	return NULL;
}

static int fail(const char *what, unsigned long long is, unsigned long long should)
{
	fprintf(stderr, "%s: %llu, not %llu\n", what, is, should);
	return 1;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 1;
	int threads = argc > 2 ? atoi(argv[2]) : 4;
	int hz = argc > 3 ? atoi(argv[3]) : 10000;
	struct bh_limits none = { 0 };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct timespec begin, now, pause = { .tv_nsec = 1000000000 / hz };
	pthread_t thread[64];
	struct bh_heap *heap;
	uint64_t kept = 0;

	core = bh_core_create(CPUS);
	heap = bh_heap_create(core, none);
	for (int i = 0; i < SIZES; i++)
		units[i] = bh_unit_create(heap, sizes[i], NULL);
	sigaction(SIGUSR1, &action, NULL);
	for (intptr_t i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, work, (void *)i);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned n = 0;; n++) {
		/* Two at once, so that one interrupts the other now and then. */
		pthread_kill(thread[n % (unsigned)threads], SIGUSR1);
		nanosleep(&pause, NULL);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if ((double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) / 1e9 >
		    seconds)
			break;
	}
	atomic_store(&stop, true);
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);

	for (int i = 0; i < SHARED; i++)
		kept += atomic_load(&shared[i]) != NULL;
	bh_barrier(core, NULL);
	if (bh_heap_stats(heap).live != kept)
		return fail("live", bh_heap_stats(heap).live, kept);
	/* The shared objects outlive the heap's end. */
	bh_heap_close(heap);
	bh_barrier(core, NULL);
	if (bh_heap_stats(heap).live != kept)
		return fail("live after the end", bh_heap_stats(heap).live, kept);
	if (bh_heap_stats(heap).slabs > kept)
		return fail("slabs after the end", bh_heap_stats(heap).slabs, kept);
	struct bh_here here;

	bh_enter(core, -1, NULL, &here);
	for (int i = 0; i < SHARED; i++)
		if (atomic_load(&shared[i]))
			drop(&here, atomic_load(&shared[i]), i & 1);
	bh_leave(&here);
	bh_barrier(core, NULL);
	if (bh_heap_stats(heap).live || bh_heap_stats(heap).slabs)
		return fail("slabs after the last object", bh_heap_stats(heap).slabs, 0);
	bh_heap_destroy(heap);
	bh_barrier(core, NULL);
	if (bh_pages_mapped(core))
		return fail("bytes mapped in the end", bh_pages_mapped(core), 0);
	bh_core_destroy(core);
	printf("%llu operations, %llu signals, %llu refused\n", (unsigned long long)operations,
	       (unsigned long long)signals, (unsigned long long)refused);
	return 0;
}
