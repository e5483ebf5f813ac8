/*
 * Two contexts on two CPUs of a hardened core free one object: each is stopped after each of its
 * instructions, and the other one goes on from there. The owner goes to instruction j, the other one to
 * instruction k, the owner to its end, the other one to its end.
 *
 *     meet [closed] [collect] [STEP]
 *
 * closed: the heap is closed (and drained), so that slabs go when they are empty.
 * collect: the worker collects when the owner is done, before the other one goes on.
 * STEP: stop after each STEPth instruction alone.
 */
#include "no_worker.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>

enum { TRAP_FLAG = 0x100, OWNER_IS_DONE = 100, OTHER_IS_DONE = 101 };

static struct bh_core *core;
static struct bh_heap *heap;
static struct bh_unit *unit;
static void *given;
static const struct bh_type type = { .size = 96, .copies = 1, .lock = -1, .refcount = -1 };

struct actor {
	int cpu;
	unsigned long park; /* after so many instructions; 0: not at all */
	_Atomic int parked, go, done;
	unsigned long steps;
};
static struct actor owner = { .cpu = 0 }, second = { .cpu = 1 };
static _Thread_local struct actor *me;

static void await(_Atomic int *flag)
{
	while (!atomic_load(flag))
		sched_yield();
}

static void on_trap(int number, siginfo_t *info, void *context)
{
	ucontext_t *found = context;

	(void)number;
	(void)info;
	if (++me->steps != me->park)
		return;
	atomic_store(&me->parked, 1);
	await(&me->go);
	found->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

static void *act(void *arg)
{
	struct bh_here here;

	me = arg;
	bh_enter(core, me->cpu, NULL, &here);
	__asm__ volatile("pushfq; orq %0, (%%rsp); popfq" : : "i"(TRAP_FLAG) : "memory", "cc");
	bh_object_drop(&here, (char *)given - bh_shadow(core), -1);
	__asm__ volatile("pushfq; andq %0, (%%rsp); popfq" : : "i"(~TRAP_FLAG) : "memory", "cc");
	bh_leave(&here);
	atomic_store(&me->parked, 1);
	atomic_store(&me->done, 1);
	return NULL;
}

static unsigned places(void *object)
{
	unsigned seen = 0;
	void *objects[BH_SLOTS];

	for (uint32_t slot = 0; slot < bh_unit_slots(unit); slot++)
		for (uint32_t i = bh_cached(&unit->caches[slot]); i--;)
			seen += unit->caches[slot].objects[i] == object;
	for (struct free_object *b = atomic_load(&unit->depot.batches); b; b = bh_batch_next(b))
		for (uint32_t i = bh_batch_unpack(b, objects); i--;)
			seen += objects[i] == object;
	return seen;
}

static int one(bool closed, bool collect, unsigned long j, unsigned long k)
{
	pthread_t a, b;
	struct bh_here here;
	int wrong = 0;

	forks = core->forks;
	alarm(5);
	heap = bh_heap_create(core, (struct bh_limits){ 0, 0 });
	unit = bh_unit_create(heap, 96, (void *)&type);
	bh_enter(core, 0, NULL, &here);
	given = (char *)bh_object_new(&here, unit, -1) + bh_shadow(core);
	bh_leave(&here);
	if (closed) {
		bh_heap_close(heap);
		bh_barrier(core, NULL);
	}
	owner.park = j;
	second.park = k;
	start_thread(&a, act, &owner);
	await(&owner.parked);
	start_thread(&b, act, &second);
	await(&second.parked);
	atomic_store(&owner.go, 1);
	await(&owner.done);
	if (collect)
		run_all(core, take(&core->queued));
	atomic_store(&second.go, 1);
	await(&second.done);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	bh_barrier(core, NULL);
	if (closed) {
		wrong |= atomic_load(&unit->slabs) != 0 ? 1 : 0;
		wrong |= atomic_load(&unit->owned) != 0 ? 2 : 0;
	} else {
		wrong |= places(given) != 1 ? 1 : 0;
		wrong |= bh_unit_stats(unit).live != 0 ? 2 : 0;
	}
	wrong |= atomic_load(&unit->waiting_count) != 0 ? 4 : 0;
	wrong |= atomic_load(&unit->waiting) || atomic_load(&unit->condemned) ? 8 : 0;
	return owner.steps < j ? OWNER_IS_DONE : second.steps < k ? OTHER_IS_DONE : wrong;
}

int main(int count, char **words)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_NODEFER };
	bool closed = false, collect = false;
	unsigned long step = 1, runs = 0, wrong = 0;
	int status = 0;

	for (int n = 1; n < count; n++) {
		closed |= !strcmp(words[n], "closed");
		collect |= !strcmp(words[n], "collect");
		if (words[n][0] >= '0' && words[n][0] <= '9')
			step = strtoul(words[n], NULL, 10);
	}
	core = bh_core_create(2);
	if (!bh_core_harden(core))
		return 2;
	sigaction(SIGTRAP, &action, NULL);
	for (unsigned long j = 1; status != OWNER_IS_DONE; j += step) {
		for (unsigned long k = 1;; k += step) {
			pid_t child = fork();

			if (!child)
				_exit(one(closed, collect, j, k));
			if (waitpid(child, &status, 0) != child)
				return 2;
			if (WIFEXITED(status))
				status = WEXITSTATUS(status);
			if (status == OWNER_IS_DONE || status == OTHER_IS_DONE)
				break;
			runs++;
			if (status && !wrong++)
				fprintf(stderr, "owner at %lu, other at %lu: status %d\n", j, k, status);
		}
	}
	printf("%lu runs, %lu wrong\n", runs, wrong);
	return wrong != 0;
}
