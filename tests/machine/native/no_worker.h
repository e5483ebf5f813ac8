/*
 * The core without its worker, whom a fork would leave behind; its lists of work are run by whoever asks for a
 * barrier. Has cpu.c in it, so that a program can run parts of them.
 */
#define _GNU_SOURCE
#include <pthread.h>

static inline int start_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
	return pthread_create(thread, NULL, run, arg);
}

#define pthread_create(thread, attributes, run, arg) ((void)(run), (void)(arg), 0)
#define pthread_join(thread, result) ((void)(thread))
#define bh_barrier bh_barrier_of_worker
#include "cpu.c"
#undef bh_barrier
#undef pthread_join
bool bh_barrier(struct bh_core *core, bh_patience patience);
#include "object.h"
#include "slab_private.h"

bool bh_barrier(struct bh_core *core, bh_patience patience)
{
	static struct bh_work *waiting;

	(void)patience;
	for (unsigned pass = 0; pass < PASSES; pass++) {
		run_all(core, take(&core->queued));
		waiting = run_deferred(core, waiting);
	}
	return true;
}
