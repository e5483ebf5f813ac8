/* Loads from addresses that come and go: pages that are being unmapped are never read.
 * stress_mapped SECONDS THREADS ... */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cpu.h"

enum { PAGES = 16, SIZE = 3 * 4096 };

static struct bh_core *core;
static _Atomic uint64_t seen[PAGES]; /* where pages are, or were */
static _Atomic bool over;
static _Atomic uint64_t found, mapped;

static void *reader(void *arg)
{
	unsigned n = (unsigned)(uintptr_t)arg;

	while (!atomic_load(&over)) {
		uint64_t at = atomic_load(&seen[n++ % PAGES]), value;

		if (!at)
			continue;
		value = bh_pages_load(core, at + SIZE - 8, 8);
		if (value && value != at) {
			fprintf(stderr, "%#lx holds %#lx\n", (unsigned long)at, (unsigned long)value);
			abort();
		}
		if (value)
			atomic_fetch_add(&found, 1);
		/* Half of it lies beyond the pages, which may be those of others. */
		bh_pages_load(core, at + SIZE - 4, 8);
	}
	return NULL;
}

static void *mapper(void *arg)
{
	unsigned first = (unsigned)(uintptr_t)arg % PAGES;

	for (unsigned n = first; !atomic_load(&over); n = n + 1 == first + 4 ? first : n + 1) {
		char *pages = bh_pages_map(core, SIZE, 4096);
		uint64_t at = (uintptr_t)pages;

		if (!pages)
			abort();
		/* Atomic, as readers of the last one that was here may look. */
		atomic_store((_Atomic uint64_t *)(pages + SIZE - 8), at);
		atomic_store(&seen[n % PAGES], at);
		if (n % 2)
			sched_yield();
		bh_pages_unmap(core, pages, SIZE);
		atomic_fetch_add(&mapped, 1);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 1;
	struct timespec wait = { (time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9) };
	pthread_t thread[6];

	core = bh_core_create(1);
	if (!core)
		return 1;
	for (uintptr_t n = 0; n < 6; n++)
		pthread_create(&thread[n], NULL, n % 2 ? mapper : reader, (void *)(n * 4));
	nanosleep(&wait, NULL);
	atomic_store(&over, true);
	for (unsigned n = 0; n < 6; n++)
		pthread_join(thread[n], NULL);
	if (bh_pages_mapped(core) || !atomic_load(&found)) {
		fprintf(stderr, "%lu bytes left, %lu loads\n", (unsigned long)bh_pages_mapped(core),
			(unsigned long)found);
		return 1;
	}
	printf("%lu loads, %lu mappings\n", (unsigned long)found, (unsigned long)mapped);
	bh_core_destroy(core);
	return 0;
}
